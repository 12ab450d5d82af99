# SPDX-License-Identifier: GPL-3.0-or-later
"""The socket of the broker: what clients may send, and what they get."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any

import pytest
from aiohttp import web
from gpulab_gpud import server
from gpulab_gpud.peers import credentials
from gpulab_gpud.server import FIELDS, LARGEST_BODY, Api
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.support.gpud import SECONDS, Lab, run

DOCUMENT: dict[str, Any] = json.loads((resources.files("gpulab_gpud") / "openapi.json").read_text(encoding="utf-8"))


def check(schema: str, answer: Any) -> None:
    """Compare an answer with a schema of the OpenAPI file."""
    Draft202012Validator({**DOCUMENT, "$ref": f"#/components/schemas/{schema}"}).validate(answer)


def test_document_has_the_routes_of_the_server(lab: Lab) -> None:
    """Each path and method is described, and nothing else is."""

    async def work() -> None:
        async with lab.running():
            app: web.Application = Api(lab.service).app()
            routes = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
            described = {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item}
            assert {route for route in routes if route[0] != "HEAD"} == described

    run(work)


def test_document_has_the_fields_that_the_server_reads() -> None:
    """With their types."""
    types = {int: "integer", bool: "boolean", str: "string", (int, float): "number"}
    for kind, schema in (("request", "Order"), ("extend", "Extension"), ("open", "Opening")):
        properties = DOCUMENT["components"]["schemas"][schema]["properties"]
        assert {name: value["type"] for name, value in properties.items()} == {
            name: types[expected] for name, expected in FIELDS[kind].items()
        }


def test_answers_are_as_described(lab: Lab, nodes: dict[str, frozenset[int]]) -> None:
    """A request through its life: granted, waiting, extended, confirmed, released, over."""

    async def work() -> None:
        async with lab.running():
            status, grant = await lab.call("POST", "/v1/requests", {"gpus": 2, "whole": True, "note": "thesis"}, "ada")
            assert status == 201
            check("Grant", grant)
            assert nodes == {"nvidia0": {1001}, "nvidia1": {1001}}
            status, waiting = await lab.call("POST", "/v1/requests", {}, "bob")
            assert status == 202
            check("Waiting", waiting)
            assert (waiting["position"], waiting["reason"]) == (1, "held by ada")
            assert waiting["starts_at"] == pytest.approx(grant["until"], abs=1)
            status, state = await lab.call("GET", "/v1/state")
            check("State", state)
            assert state["you"] == "bob"
            status, error = await lab.call("POST", "/v1/requests/1/extend", {}, "ada")
            assert status == 409
            check("Error", error)
            status, released = await lab.call("DELETE", "/v1/requests/1", None, "ada")
            check("Released", released)
            status, mine = await lab.call("GET", "/v1/requests/2", None, "bob")
            check("Request", mine)
            assert (mine["status"], mine["confirmed"]) == ("granted", False)
            status, mine = await lab.call("POST", "/v1/requests/2/confirm", {})
            assert mine["confirmed"] is True
            status, mine = await lab.call("POST", "/v1/requests/2/extend", {"seconds": 60})
            check("Grant", mine)
            await lab.call("DELETE", "/v1/requests/2?door=ssh")
            status, mine = await lab.call("GET", "/v1/requests/2")
            check("Over", mine)
            assert "released" in mine["reason"]
            assert nodes == {"nvidia0": set(), "nvidia1": set()}

    run(work)


def test_waiting_client_gets_its_turn_at_once(lab: Lab) -> None:
    """The answer comes with the grant, not after the time of the request."""

    async def work() -> None:
        async with lab.running():
            await lab.call("POST", "/v1/requests", {"gpus": 2, "whole": True}, "ada")
            await lab.call("POST", "/v1/requests", {}, "bob")
            waiting = asyncio.create_task(lab.call("GET", "/v1/requests/2?wait=50"))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            await lab.call("DELETE", "/v1/requests/1", None, "ada")
            assert (await waiting)[1]["status"] == "granted"

    run(work)


REJECTED: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/v1/requests", {"gpus": 0}, 400, "at least 1"),
    ("POST", "/v1/requests", {"gpus": 3}, 400, "this host has 2 GPUs"),
    ("POST", "/v1/requests", {"gpus": "2"}, 400, "gpus has the wrong type"),
    ("POST", "/v1/requests", {"gpus": True}, 400, "gpus has the wrong type"),
    ("POST", "/v1/requests", {"seconds": -1}, 400, "more than 0 seconds"),
    ("POST", "/v1/requests", {"seconds": 1e300}, 400, "too large"),
    ("POST", "/v1/requests", {"gpu": 1}, 400, "unknown key"),
    ("POST", "/v1/requests", {"note": "\x1b]0;title\x07"}, 400, "printable"),
    ("POST", "/v1/requests", [1], 400, "not a JSON object"),
    ("POST", "/v1/requests", {"user": "bob"}, 403, "ada may not act for other users"),
    ("POST", "/v1/requests", {"pid": 1}, 403, "not a process of ada"),
    ("POST", "/v1/requests", {"pid": 2**22 + 1}, 404, "does not run"),
    ("DELETE", "/v1/requests/1", None, 404, "you have no request 1"),
    ("GET", "/v1/requests/1", None, 404, "you have no request 1"),
    ("GET", "/v1/requests/x", None, 400, "digits only"),
    ("GET", "/v1/requests/1?wait=nan", None, 400, "wait must be"),
    ("POST", "/v1/requests/1/extend", {}, 404, "you have no request 1"),
    ("DELETE", "/v1/requests?door=ssh&user=bob", None, 403, "may not act"),
    ("DELETE", "/v1/requests", None, 400, "door is missing"),
    ("POST", "/v1/open", {"seconds": 60}, 403, "only root"),
    ("GET", "/nothing", None, 404, "Not Found"),
    ("PUT", "/v1/state", None, 405, "Method Not Allowed"),
]


def test_requests_that_are_not_allowed_are_rejected(lab: Lab) -> None:
    """With a message for the user, and without a change."""

    async def work() -> None:
        async with lab.running():
            await lab.call("POST", "/v1/requests", {}, "bob")
            before = lab.service.state
            for method, path, body, status, message in REJECTED:
                answer = await lab.call(method, path, body, "ada")
                assert answer[0] == status, (path, body, answer)
                check("Error", answer[1])
                assert message in answer[1]["error"], (path, body, answer)
            assert lab.service.state == before

    run(work)


def test_account_that_is_not_a_user_is_rejected(lab: Lab) -> None:
    """By the uid that the kernel reports; an account without a name, too."""

    async def work() -> None:
        async with lab.running():
            for name in ("mallory", "deleted"):
                status, answer = await lab.call("GET", "/v1/state", None, name)
                assert (status, "not a member of users" in answer["error"]) == (403, True)

    run(work)


def test_administrators_and_the_hub_act_for_users(lab: Lab, nodes: dict[str, frozenset[int]]) -> None:
    """For members of the group of users only; the hub itself holds nothing."""

    async def work() -> None:
        async with lab.running():
            assert (await lab.call("POST", "/v1/requests", {"user": "ada", "door": "hub"}, "hub"))[0] == 201
            assert nodes["nvidia0"] == {1001}
            assert (await lab.call("POST", "/v1/requests", {"user": "mallory"}, "hub"))[0] == 404
            assert (await lab.call("POST", "/v1/requests", {}, "hub"))[0] == 404
            answer = await lab.call("DELETE", "/v1/requests?door=hub&user=ada", None, "boss")
            assert answer == (200, {"released": [1]})
            assert nodes["nvidia0"] == set()

    run(work)


def test_root_opens_all_gpus_for_a_time(lab: Lab) -> None:
    """And the time is limited."""

    async def work() -> None:
        async with lab.running():
            status, answer = await lab.call("POST", "/v1/open", {"seconds": 7200}, "boss")
            assert status == 403
            # The caller of a test is root by name only; the uid decides.
            lab.accounts.numbers["boss"] = 0
            status, answer = await lab.call("POST", "/v1/open", {"seconds": 7200}, "boss")
            assert status == 200
            check("Opened", answer)
            assert all(access.gids == {100, 101} for access in lab.service.wanted().values())
            assert (await lab.call("POST", "/v1/open", {"seconds": 1e8}))[0] == 400

    run(work)


async def raw(lab: Lab, data: bytes, *, half_close: bool = True) -> bytes:
    """Send bytes to the socket and return what comes back until the broker closes."""
    reader, writer = await asyncio.open_unix_connection(str(lab.socket))
    try:
        writer.write(data)
        await writer.drain()
        if half_close and writer.can_write_eof():
            writer.write_eof()
        return await asyncio.wait_for(reader.read(), SECONDS)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda method, path, body: (
                f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode("utf-8", "replace")
                + body
            ),
            st.sampled_from(["POST", "GET", "DELETE", "PATCH"]),
            st.sampled_from(["/v1/requests", "/v1/requests/1", "/v1/requests/1/extend", "/v1/open", "/v1/state"]),
            st.one_of(
                st.binary(max_size=60),
                st.recursive(
                    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
                    lambda inner: st.dictionaries(st.sampled_from([*FIELDS["request"], "x"]), inner, max_size=4),
                    max_leaves=6,
                ).map(lambda value: json.dumps(value).encode()),
            ),
        ),
    )
)
def test_socket_survives_any_bytes(tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any, data: bytes) -> None:
    """No input ends the broker, gives a user another one's grant, or is answered with an error of the broker."""
    monkeypatch.setattr("gpulab_gpud.access.acl.apply", lambda node, access: False)  # noqa: ARG005
    lab = Lab(tmp_path_factory.mktemp("fuzz"))

    async def work() -> None:
        async with lab.running():
            await lab.call("POST", "/v1/requests", {}, "bob")
            lab.accounts.connects = "ada"
            answer = await raw(lab, data)
            assert b" 500 " not in answer.split(b"\r\n")[0]
            status, state = await lab.call("GET", "/v1/state")
            assert status == 200
            assert {grant["user"] for grant in state["grants"]} <= {"ada", "bob"}
            assert "bob" in {grant["user"] for grant in state["grants"]}

    run(work)


def test_huge_body_is_rejected(lab: Lab) -> None:
    """Before it is read whole."""

    async def work() -> None:
        async with lab.running():
            head = b"POST /v1/requests HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n"
            answer = await raw(lab, head + b"x" * (LARGEST_BODY * 4), half_close=False)
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert (await lab.call("POST", "/v1/requests", {}, "ada"))[0] == 201

    run(work)


@pytest.mark.parametrize("begun", [b"", b"POST /v1/requests HTTP/1.1\r\nHost: x\r\nContent-Le"])
def test_slow_client_is_closed_and_holds_up_no_other(lab: Lab, begun: bytes) -> None:
    """Whether it sends nothing or half a request."""

    async def work() -> None:
        async with lab.running(seconds=1):
            slow = asyncio.create_task(raw(lab, begun, half_close=False))
            assert (await lab.call("POST", "/v1/requests", {}, "ada"))[0] == 201
            assert await slow == b""

    run(work)


def test_slow_body_is_rejected(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that never comes."""
    monkeypatch.setattr(server, "BODY_SECONDS", 0.2)

    async def work() -> None:
        async with lab.running():
            answer = await raw(
                lab, b"POST /v1/requests HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{", half_close=False
            )
            assert answer.startswith(b"HTTP/1.1 408 ")

    run(work)


FLOOD = """
import os, socket, sys, time
os.setgid(65534); os.setuid(65534)
sockets = []
for _ in range(20):
    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); sockets.append(s)
closed = 0
for s in sockets:
    s.settimeout(0.2)
    try:
        closed += s.recv(1) == b""
    except TimeoutError:
        pass
    except ConnectionError:
        closed += 1
print(closed)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another account")
def test_account_has_a_limited_number_of_connections(lab: Lab) -> None:
    """And the connections of others are not affected."""

    async def work() -> None:
        async with lab.running(connections=5):
            for parent in lab.socket.parents[:-2]:
                parent.chmod(parent.stat().st_mode | 0o011)
            argv = [sys.executable, "-I", "-c", FLOOD, str(lab.socket)]
            process = await asyncio.to_thread(
                subprocess.run, argv, capture_output=True, text=True, timeout=SECONDS, check=True
            )
            assert process.stdout == "15\n"
            assert (await lab.call("GET", "/v1/state", None, "ada"))[0] == 200

    run(work)


def test_two_hundred_clients_lose_nothing(lab: Lab) -> None:
    """Each request is answered once, and each answer is what the broker holds."""
    lab.accounts.members.update({f"user{number}": {"users"} for number in range(200)})
    lab.accounts.numbers.update({f"user{number}": 2000 + number for number in range(200)})

    async def work() -> None:
        async with lab.running():
            # The account of a connection is that of the test at that moment: administrators name the user.
            lab.accounts.connects = "boss"
            loop = asyncio.get_running_loop()
            with ThreadPoolExecutor(200) as pool:
                calls = [
                    loop.run_in_executor(pool, lab.send, "POST", "/v1/requests", {"user": f"user{number}"})
                    for number in range(200)
                ]
                answers = await asyncio.gather(*calls)
            assert {status for status, _ in answers} == {201, 202}
            assert sorted(answer["id"] for _, answer in answers) == list(range(1, 201))
            assert len(lab.service.state.grants) == 4
            assert len(lab.service.state.requests) == 196
            for number in range(1, 201):
                await lab.call("DELETE", f"/v1/requests/{number}")
            assert lab.service.state.entries() == []

    run(work)


def test_peer_is_the_process_at_the_other_end() -> None:
    """The kernel's answer, which a client cannot choose."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert credentials(ours) == (os.getpid(), os.getuid())
