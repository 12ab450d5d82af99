# SPDX-License-Identifier: GPL-3.0-or-later
"""A click on a link does not hand over a login: a neighbour listens on ports, a logged-in user follows links."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
import websocket

from tests.support.expected import Expected
from tests.support.hub import HubUser, Kernel, Kernels

LISTEN = """
import http.server, json, socket, threading
requests_seen = []
class Note(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        requests_seen.append([self.path, dict(self.headers)])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"harmless marker")
    do_POST = do_PUT = do_DELETE = do_GET
    def log_message(self, *arguments):
        pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
listener = Server(("::", 0), Note)
threading.Thread(target=listener.serve_forever, daemon=True).start()
print(listener.server_address[1])
"""
"""Listens on every address, IPv4 included, and records the requests."""
FETCH = """
import urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
print(opener.open({url!r}, timeout=20).read().decode())
"""
RECORDED = "print(json.dumps(requests_seen)); requests_seen.clear()"
FOREIGN = [
    *("proxy/{port}/x", "proxy/absolute/{port}/x", "proxy/localhost:{port}/x", "proxy/127.0.0.1:{port}/x"),
    *(
        "proxy/absolute/localhost:{port}/x",
        "proxy/127.0.0.2:{port}/x",
        "proxy/127.1:{port}/x",
        "proxy/0.0.0.0:{port}/x",
    ),
    *(
        "proxy/2130706433:{port}/x",
        "proxy/%3A%3A1:{port}/x",
        "proxy/%3A%3Affff%3A127.0.0.1:{port}/x",
        "proxy/{name}:{port}/x",
    ),
    *("proxy/{address}:{port}/x", "proxy/LOCALHOST:{port}/x", "proxy/localhost.:{port}/x"),
]
CHANGES_HANDS = """
import asyncio, os, socket
from gpulab_server import listeners, proxy
listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
upstream, calls = listeners.read, []
def read():
    calls.append(port)
    return [each._replace(inode=each.inode + len(calls) * {step}) for each in upstream()]
listeners.read = read
async def main():
    try:
        stream = await proxy.OwnListenersClient().connect("localhost", port)
        print("connected", len(calls))
    except listeners.PortRejectedError as error:
        print("rejected", error.status, len(calls))
asyncio.run(main())
"""
"""The socket that listens is another one after the connection than before it, or the same."""


@pytest.fixture(scope="module")
def foreign_listener(kernels: Kernels, neighbour: HubUser, expected: Expected) -> tuple[int, Kernel]:
    """Let the neighbour listen; return the port and the kernel that records the requests."""
    kernel = kernels(neighbour, expected.kernels["python"])
    return int(kernel.run(LISTEN)), kernel


@pytest.fixture(scope="module")
def own_listener(kernels: Kernels, hub_user: HubUser, expected: Expected) -> tuple[int, Kernel]:
    """Let the user listen; return the port and the kernel."""
    kernel = kernels(hub_user, expected.kernels["python"])
    return int(kernel.run(LISTEN)), kernel


def below(hub_user: HubUser, path: str) -> str:
    """Return the address of a page of the user's server."""
    return f"{hub_user.base}/user/{hub_user.name}/{path}"


def test_neighbours_listener_answers_other_clients(host: Any, foreign_listener: tuple[int, Kernel]) -> None:
    """The tests below would also pass without a listener."""
    for address in ("127.0.0.1", "[::1]"):
        answer = host.check_output(
            "/usr/bin/python3 -c %s", FETCH.format(url=f"http://{address}:{foreign_listener[0]}/")
        )
        assert answer == "harmless marker"
    foreign_listener[1].run(RECORDED)


@pytest.mark.parametrize("path", FOREIGN)
def test_neighbours_port_gets_nothing(
    host: Any, hub_user: HubUser, foreign_listener: tuple[int, Kernel], path: str
) -> None:
    """No request and no cookie, however the port is spelled."""
    name = host.check_output("hostname")
    address = host.check_output("getent ahostsv4 %s | awk 'NR == 1 {print $1}'", name)
    answer = hub_user.web.get(
        below(hub_user, path.format(port=foreign_listener[0], name=name, address=address)), timeout=60
    )
    assert answer.status_code == 403
    assert "harmless marker" not in answer.text
    assert json.loads(foreign_listener[1].run(RECORDED)) == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
def test_neighbours_port_gets_nothing_by_other_methods(
    hub_user: HubUser, foreign_listener: tuple[int, Kernel], method: str
) -> None:
    """Whatever a page can send."""
    answer = hub_user.web.request(method, below(hub_user, f"proxy/{foreign_listener[0]}/x"), data=b"x", timeout=60)
    assert answer.status_code == 403
    assert json.loads(foreign_listener[1].run(RECORDED)) == []


def test_link_that_the_hub_forwards_gets_nothing(hub_user: HubUser, foreign_listener: tuple[int, Kernel]) -> None:
    """The link names the hub alone."""
    answer = hub_user.web.get(f"{hub_user.base}/hub/user-redirect/proxy/{foreign_listener[0]}/x", timeout=60)
    assert answer.url.endswith(f"/user/{hub_user.name}/proxy/{foreign_listener[0]}/x")
    assert answer.status_code == 403
    assert json.loads(foreign_listener[1].run(RECORDED)) == []


def dial(hub_user: HubUser, path: str) -> websocket.WebSocket:
    """Open a websocket as the user's browser does."""
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in hub_user.web.cookies)
    url = below(hub_user, path).replace("http", "ws", 1)
    options = {"ca_certs": hub_user.verify} if isinstance(hub_user.verify, str) else {"cert_reqs": 0}
    return websocket.create_connection(url, cookie=cookies, origin=hub_user.base, sslopt=options, timeout=60)


@pytest.mark.parametrize("path", ["proxy/{port}/x", "proxy/absolute/{port}/x", "proxy/127.0.0.1:{port}/x"])
def test_neighbours_port_gets_no_websocket(hub_user: HubUser, foreign_listener: tuple[int, Kernel], path: str) -> None:
    """The handshake would carry the cookies, too."""
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        dial(hub_user, path.format(port=foreign_listener[0]))
    assert json.loads(foreign_listener[1].run(RECORDED)) == []


@pytest.mark.parametrize("path", ["proxy/{port}/x?a=1", "proxy/absolute/{port}/x?a=1", "proxy/localhost:{port}/x?a=1"])
def test_own_program_gets_the_request_without_the_login(
    hub_user: HubUser, own_listener: tuple[int, Kernel], path: str
) -> None:
    """It is reached as before, with cookies of its own, and without those of the hub."""
    headers = {"Cookie": "; ".join([*(f"{each.name}={each.value}" for each in hub_user.web.cookies), "mine=1"])}
    assert "jupyterhub-" in headers["Cookie"]
    answer = hub_user.web.get(below(hub_user, path.format(port=own_listener[0])), headers=headers, timeout=60)
    assert (answer.status_code, answer.text) == (200, "harmless marker")
    [[requests_seen, received]] = json.loads(own_listener[1].run(RECORDED))
    assert requests_seen.endswith("x?a=1")
    assert "mine=1" in received["Cookie"]
    assert "jupyterhub-" not in received["Cookie"].lower()


def test_token_that_was_the_login_stays_at_the_server(hub_user: HubUser, own_listener: tuple[int, Kernel]) -> None:
    """Scripts log in with a token; the own_listener does not see it, in the query and the referring page neither."""
    made = hub_user.web.post(
        f"{hub_user.base}/hub/api/users/{hub_user.name}/tokens",
        json={"note": "verify", "expires_in": 300},
        headers=hub_user._xsrf(),
        timeout=60,
    )
    token = made.json()["token"]
    url = below(hub_user, f"proxy/{own_listener[0]}/x?a=1&token={token}")
    headers = {
        "Authorization": f"token {token}",
        "Referer": below(hub_user, f"lab?token={token}"),
        "Connection": "close",
    }
    with requests.Session() as script:
        script.trust_env = False
        answer = script.get(url, headers=headers, verify=hub_user.verify, timeout=60)
    assert answer.text == "harmless marker"
    [[requests_seen, received]] = json.loads(own_listener[1].run(RECORDED))
    assert requests_seen == "/x?a=1"
    assert token not in json.dumps(received)


def test_port_without_a_program_is_named(hub_user: HubUser) -> None:
    """The message names the port."""
    answer = hub_user.web.get(below(hub_user, "proxy/1/x"), timeout=60)
    assert answer.status_code == 503
    assert "Nothing listens on port 1" in answer.text


@pytest.mark.parametrize(("step", "outcome"), [(0, "connected 2"), (1, "rejected 503 2")])
def test_port_that_changes_hands_gets_nothing(host: Any, hub_user: HubUser, step: int, outcome: str) -> None:
    """Between the check and the connection another user may have taken the port."""
    code = CHANGES_HANDS.format(step=step)
    printed = host.check_output("runuser -u %s -- /opt/gpulab/server/current/bin/python -I -c %s", hub_user.name, code)
    assert printed == outcome
