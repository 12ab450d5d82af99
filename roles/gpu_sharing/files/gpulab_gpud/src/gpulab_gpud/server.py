# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP and JSON over a unix socket. openapi.json next to this file describes it, and tests compare both."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from gpulab_gpud import processes, views
from gpulab_gpud.accounts import Caller
from gpulab_gpud.core import broker
from gpulab_gpud.core import views as core_views
from gpulab_gpud.core.broker import Order
from gpulab_gpud.core.model import Grant, Process, Rejected, Request
from gpulab_gpud.peers import Connections, Guard, credentials
from gpulab_gpud.service import Service

LOG = logging.getLogger(__name__)
SOCKET = Path("/run/gpulab/gpu.sock")
LARGEST_BODY = 16 * 1024
BODY_SECONDS = 10.0
LONGEST_WAIT = 50.0
"""Longest time of a request that waits for a change, in seconds."""
CONNECTIONS = 64
"""Connections of one account at a time."""
CONNECTION_SECONDS = 90.0
LINGER_SECONDS = 0.5
"""Time for which the rest of a rejected body is read, so that its sender can read the answer."""
FIELDS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "request": {
        "gpus": int, "whole": bool, "seconds": (int, float), "door": str, "shared": bool, "note": str, "user": str,
        "watch": bool, "pid": int,
    },
    "extend": {"seconds": (int, float)},
    "open": {"seconds": (int, float)},
}  # fmt: skip
CALLER = web.RequestKey("caller", Caller)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """The requests that clients may send."""

    def __init__(self, service: Service, proc: Path = processes.PROC) -> None:
        self._service, self._proc = service, proc

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application(client_max_size=LARGEST_BODY, middlewares=[self._guarded])
        app.add_routes(
            [
                web.route("GET", "/v1/state", self.state),
                web.route("POST", "/v1/requests", self.request),
                web.route("DELETE", "/v1/requests", self.release_door),
                web.route("GET", "/v1/requests/{id}", self.status),
                web.route("DELETE", "/v1/requests/{id}", self.release),
                web.route("POST", "/v1/requests/{id}/extend", self.extend),
                web.route("POST", "/v1/requests/{id}/confirm", self.confirm),
                web.route("POST", "/v1/open", self.open),
            ]
        )
        return app

    @web.middleware  # type: ignore[untyped-decorator]
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Find out who sends the request, and answer errors with their message as JSON."""
        try:
            assert request.transport
            pid, uid = credentials(request.transport.get_extra_info("socket"))
            accounts = self._service.accounts
            # A directory of users may take its time.
            caller = accounts.known(uid, pid) or await asyncio.to_thread(accounts.caller, uid, pid)
            if caller is None or not (caller.member or caller.admin or caller.delegate):
                name = caller.name if caller else f"uid {uid}"
                group = self._service.config.users_group
                raise Rejected(f"{name} is not a member of {group}, whose members may use the GPUs.", 403)
            request[CALLER] = caller
            response = await handler(request)
        except Rejected as error:
            response = web.json_response({"error": str(error)}, status=error.status)
        except web.HTTPException as error:
            response = web.json_response({"error": error.reason}, status=error.status)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            LOG.exception("%s %s failed", request.method, request.path)
            message = "the broker failed; an administrator finds the reason in the journal of gpulab-gpud."
            response = web.json_response({"error": message}, status=500)
        response.force_close()
        return response

    async def state(self, request: web.Request) -> web.Response:
        """Return all GPUs, grants and waiting requests: every user may see who holds what."""
        caller: Caller = request[CALLER]
        service = self._service
        return web.json_response({**views.state(service.state, service.clock, service.names), "you": caller.name})

    async def request(self, request: web.Request) -> web.Response:
        """Request GPUs. The answer is a grant (201) or a waiting request (202)."""
        caller: Caller = request[CALLER]
        body = await self._body(request, "request")
        user = self._user(caller, body.get("user", caller.name))
        groups = caller.groups if user == caller.name else await asyncio.to_thread(self._groups, user)
        order = Order(
            user=user,
            groups=groups,
            gpus=body.get("gpus", 1),
            whole=body.get("whole", False),
            seconds=body.get("seconds"),
            door=_printable("door", body.get("door", "ssh"), 40),
            shared=body.get("shared", True),
            note=_printable("note", body.get("note", ""), 200),
            process=self._process(caller, user, body),
        )
        step = self._service.change(lambda state, now: broker.request(state, now, order), caller.name)
        status = 201 if isinstance(self._service.state.find(step.id), Grant) else 202
        return web.json_response(self._view(step.id), status=status)

    async def status(self, request: web.Request) -> web.Response:
        """Return a request; with `wait`, after it was granted or that many seconds have passed."""
        caller: Caller = request[CALLER]
        number = _number(request)
        left = min(LONGEST_WAIT, _seconds(request.query.get("wait", "0")))
        loop = asyncio.get_running_loop()
        until = loop.time() + left
        while isinstance(self._own(caller, number), Request) and (left := until - loop.time()) > 0:
            await self._service.changed(left)
        return web.json_response(self._view(number))

    async def release(self, request: web.Request) -> web.Response:
        """End a grant or a waiting request."""
        caller: Caller = request[CALLER]
        number = _number(request)
        self._own(caller, number)
        door = request.query.get("door", "")
        self._service.change(lambda state, now: broker.release(state, now, number, door), caller.name)
        return web.json_response({"released": [number]})

    async def release_door(self, request: web.Request) -> web.Response:
        """Release all that a user has through one door."""
        caller: Caller = request[CALLER]
        user = self._user(caller, request.query.get("user", caller.name))
        door = request.query.get("door", "")
        if not door:
            raise Rejected("the parameter door is missing.", 400)
        before = {entry.id for entry in self._service.state.entries()}
        self._service.change(lambda state, now: broker.release_door(state, now, user, door), caller.name)
        after = {entry.id for entry in self._service.state.entries()}
        return web.json_response({"released": sorted(before - after)})

    async def extend(self, request: web.Request) -> web.Response:
        """Extend a grant."""
        caller: Caller = request[CALLER]
        number = _number(request)
        self._own(caller, number)
        body = await self._body(request, "extend")
        seconds = body.get("seconds")
        self._service.change(lambda state, now: broker.extend(state, now, number, seconds), caller.name)
        return web.json_response(self._view(number))

    async def confirm(self, request: web.Request) -> web.Response:
        """Take the turn of a request that had to wait."""
        caller: Caller = request[CALLER]
        number = _number(request)
        self._own(caller, number)
        self._service.change(lambda state, now: broker.confirm(state, now, number), caller.name)
        return web.json_response(self._view(number))

    async def open(self, request: web.Request) -> web.Response:
        """Let all users open all GPUs for a time: an emergency exit for root."""
        caller: Caller = request[CALLER]
        body = await self._body(request, "open")
        if caller.uid != 0:
            raise Rejected("only root may open all GPUs to all users.", 403)
        step = self._service.open_all(body.get("seconds", 0), caller.name)
        return web.json_response({"open_until": self._service.clock.wall(step.state.open_until)})

    # -- checks

    async def _body(self, request: web.Request, kind: str) -> dict[str, Any]:
        """Return the JSON object of a request, with known keys of the right types."""
        try:
            data = await asyncio.wait_for(request.read(), BODY_SECONDS)
        except (TimeoutError, asyncio.TimeoutError) as error:  # Python 3.10
            raise Rejected("the request is too slow.", 408) from error
        try:
            body = json.loads(data or b"{}")
        except (ValueError, RecursionError):
            raise Rejected("the request is not JSON.", 400) from None
        if not isinstance(body, dict):
            raise Rejected("the request is not a JSON object.", 400)
        for name, value in body.items():
            expected = FIELDS[kind].get(name)
            if expected is None:
                raise Rejected(f"unknown key; known are {', '.join(FIELDS[kind])}.", 400)
            if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
                raise Rejected(f"{name} has the wrong type.", 400)
            if isinstance(value, int | float) and not (math.isfinite(value) and abs(value) < 10**9):
                raise Rejected(f"{name} is too large.", 400)
        return body

    def _user(self, caller: Caller, user: str) -> str:
        """Return the user for whom a caller acts."""
        if user == caller.name and not (caller.delegate and not caller.member):
            return user
        if not (caller.admin or caller.delegate):
            raise Rejected(f"{caller.name} may not act for other users. Administrators may.", 403)
        if user != "root" and not self._service.accounts.is_member(user, self._service.config.users_group):
            raise Rejected(f"the user is not a member of {self._service.config.users_group}.", 404)
        return user

    def _groups(self, user: str) -> tuple[str, ...]:
        return self._service.accounts.groups_of(user)

    def _own(self, caller: Caller, number: int) -> Grant | Request | None:
        """Return a caller's own request, or that of any user for administrators and the hub; None if it is over."""
        entry = self._service.state.find(number)
        privileged = caller.admin or caller.delegate
        allowed = entry.user == caller.name if entry else self._service.over(number, caller.name)
        if privileged or allowed:
            return entry
        raise Rejected(f"you have no request {number}. `gpulab gpu list` shows yours.", 404)

    def _process(self, caller: Caller, user: str, body: Mapping[str, Any]) -> Process | None:
        """Return the process whose end releases a request: that of the client, or one of the same user."""
        if body.get("watch"):
            return processes.identify(caller.pid, self._proc)
        if "pid" not in body:
            return None
        pid = body["pid"]
        process = processes.identify(pid, self._proc)
        if process is None:
            raise Rejected(f"process {pid} does not run.", 404)
        uid = processes.owner(pid, self._proc)
        if uid is None or uid != self._service.accounts.uid(user):
            raise Rejected(f"process {pid} is not a process of {user}.", 403)
        # Between the two reads, the number may have become that of another process.
        if not processes.runs(process, self._proc):
            raise Rejected(f"process {pid} does not run.", 404)
        return process

    def _view(self, number: int) -> dict[str, Any]:
        service = self._service
        entry = service.state.find(number)
        if isinstance(entry, Grant):
            return views.grant(entry, service.clock, service.names)
        if entry is not None:
            turns = core_views.turns(service.state, service.clock.now(), {number})
            return views.request(entry, service.clock, turns)
        return {"id": number, "status": "over", "reason": service.last(number)}


def _number(request: web.Request) -> int:
    text = request.match_info["id"]
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise Rejected("the number of a request has digits only.", 400)
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 10**9:
        raise Rejected("wait must be a number of seconds.", 400)
    return value


def _printable(name: str, text: str, longest: int) -> str:
    """Return a text that other users' terminals may show."""
    if len(text) > longest or not text.isprintable():
        raise Rejected(f"{name} must have at most {longest} printable characters.", 400)
    return text


async def listen(
    api: Api, path: Path = SOCKET, connections: int = CONNECTIONS, seconds: float = CONNECTION_SECONDS
) -> tuple[web.AppRunner, asyncio.AbstractServer]:
    """Listen on the socket, and return what has to be closed at the end."""
    runner = web.AppRunner(api.app(), access_log=None, lingering_time=LINGER_SECONDS)
    await runner.setup()
    guard = Connections(connections, seconds)
    path.unlink(missing_ok=True)
    server = await asyncio.get_running_loop().create_unix_server(
        lambda: Guard(runner.server() if runner.server else None, guard), path, backlog=512
    )
    # Every account may connect; who it is, the kernel says.
    path.chmod(0o666)
    return runner, server
