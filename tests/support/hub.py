# SPDX-License-Identifier: GPL-3.0-or-later
"""A user at the hub without a browser: the same pages and kernel channels, over HTTP and WebSocket."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any

import requests
import websocket

from tests.support.paths import ROOT
from tests.support.processes import started

IDLE = 20.0
"""Seconds after which a kernel's connection is made again: the server closes it when its pings are not answered."""

ASKPASS = str(ROOT / "tests" / "support" / "askpass")
"""Program that gives ssh the password of the file $GPULAB_SSH_PASSWORD."""


class LoginRejected(Exception):
    """The hub rejected the login."""


class KernelDied(Exception):
    """The kernel died while a cell ran."""


class CellFailed(Exception):
    """A cell raised an error in its kernel."""


def free_port() -> int:
    """Return a free TCP port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def tunnel(connection: dict[str, Any], address: str, port: int) -> Iterator[int]:
    """Forward a port of the host through SSH, as a user behind a firewall does; return the local port."""
    local = free_port()
    address = f"[{address}]" if ":" in address else address
    argv = ["ssh", "-N", "-o", "ExitOnForwardFailure=yes", "-o", "NumberOfPasswordPrompts=1", "-o", "ControlPath=none"]
    environment = dict(os.environ)
    if password_file := connection.get("password_file") or os.environ.get("ANSIBLE_CONNECTION_PASSWORD_FILE"):
        environment |= {"SSH_ASKPASS": ASKPASS, "SSH_ASKPASS_REQUIRE": "force", "GPULAB_SSH_PASSWORD": password_file}
    else:
        argv += ["-o", "BatchMode=yes"]
    argv += [
        "-p",
        str(connection["port"]),
        "-L",
        f"127.0.0.1:{local}:{address}:{port}",
        *connection["arguments"].split(),
    ]
    argv += ["-i", connection["key"]] if connection["key"] else []
    target = f"{connection['user']}@{connection['address']}" if connection["user"] else connection["address"]
    # OpenSSH 9.2 can lose a SIGTERM that arrives just before it polls, so the end of the block kills it if need be.
    with started([*argv, target], stdin=subprocess.DEVNULL, env=environment) as process:
        until = time.monotonic() + 60
        while not answers(local):
            if process.poll() is not None or time.monotonic() > until:
                raise ConnectionError(f"no SSH tunnel to {target} (ssh ended with {process.poll()})")
            time.sleep(0.1)
        yield local


def answers(port: int, address: str = "127.0.0.1") -> bool:
    """Return whether a program accepts connections on a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def server_unit(host: Any, name: str) -> str:
    """Return the name of the unit of a user's server."""
    return f"gpulab-server@{host.user(name).uid}.service"


class HubUser:
    """A user who is logged in. `base` is the hub's address, `verify` the CA file for its certificate, or False."""

    def __init__(self, base: str, name: str, password: str, verify: str | bool) -> None:
        self.base, self.name, self.verify = base, name, verify
        self.web = requests.Session()
        self.web.verify = verify
        self.web.trust_env = False
        # The proxy closes connections that were idle for some seconds, perhaps just when the next request is sent.
        self.web.headers["Connection"] = "close"
        self._log_in(password)

    def _log_in(self, password: str) -> None:
        page = self.web.get(f"{self.base}/hub/login", timeout=60)
        page.raise_for_status()
        token = re.search(r'name="_xsrf"\s+value="([^"]+)"', page.text)
        form = {"username": self.name, "password": password, "_xsrf": token[1] if token else ""}
        answer = self.web.post(f"{self.base}/hub/login", data=form, allow_redirects=False, timeout=60)
        if answer.status_code != 302 or not any("jupyterhub" in name for name in self.web.cookies.keys()):  # noqa: SIM118
            raise LoginRejected(f"{self.name}: HTTP {answer.status_code}")

    def is_logged_in(self) -> bool:
        """Return whether the hub still accepts the login; one request, 60 s at most."""
        return self.web.get(f"{self.base}/hub/api/user", headers=self._xsrf(), timeout=60).status_code == 200

    def _xsrf(self) -> dict[str, str]:
        """Return the header that proves that a request comes from the hub's own pages."""
        tokens = [cookie.value for cookie in self.web.cookies if cookie.name == "_xsrf" and cookie.value]
        paths = {cookie.path: cookie.value for cookie in self.web.cookies if cookie.name == "_xsrf"}
        return {"X-XSRFToken": str(paths.get("/hub/") or tokens[-1])}

    def start_server(self, timeout: float = 240) -> None:
        """Start the user's server and wait until it answers; raise TimeoutError when it does not."""
        until = time.monotonic() + timeout
        code = self._request_server(until)
        while time.monotonic() < until:
            user = self.web.get(f"{self.base}/hub/api/users/{self.name}", timeout=60).json()
            server = user.get("servers", {}).get("")
            if server and server["ready"]:
                # The page of the server logs the browser in there too, by way of the hub.
                self.web.get(f"{self.base}/user/{self.name}/lab", timeout=60).raise_for_status()
                return
            if not server and code == 400:
                # It ran when the request came, and has ended since.
                code = self._request_server(until)
            elif not server:
                raise RuntimeError(f"{self.name}: the server did not start: see the journal of gpulab-hub")
            time.sleep(1)
        raise TimeoutError(f"{self.name}: the server was not ready after {timeout:.0f} s: {server}")

    def _request_server(self, until: float) -> int:
        """Request a server and return the HTTP status: 201 (started), 202 (starts) or 400 (runs already)."""
        url = f"{self.base}/hub/api/users/{self.name}/server"
        # The previous server may still be stopping, or be checked after a restart of the hub: a browser waits, too.
        while " is pending " in (answer := self.web.post(url, headers=self._xsrf(), timeout=120)).text:
            if time.monotonic() > until:
                raise TimeoutError(f"{self.name}: the previous server was not stopped in time: {answer.text[:300]}")
            time.sleep(1)
        if answer.status_code not in (201, 202, 400):
            raise RuntimeError(
                f"{self.name}: the server was not started: HTTP {answer.status_code} {answer.text[:300]}"
            )
        return answer.status_code

    def stop_server(self) -> None:
        """Stop the user's server."""
        self.web.delete(f"{self.base}/hub/api/users/{self.name}/server", headers=self._xsrf(), timeout=60)

    def kernel(self, name: str, path: str = "") -> Kernel:
        """Start a kernel in the directory of a notebook, the home unless named."""
        return Kernel(self, name, path)


class Kernel:
    """A running kernel of a user, for use in a `with` block."""

    def __init__(self, hub_user: HubUser, name: str, path: str = "") -> None:
        self.hub_user = hub_user
        self.root = f"{hub_user.base}/user/{hub_user.name}"
        tokens = {cookie.path: cookie.value for cookie in hub_user.web.cookies if cookie.name == "_xsrf"}
        self.headers = {"X-XSRFToken": str(tokens.get(f"/user/{hub_user.name}/"))}
        answer = hub_user.web.post(
            f"{self.root}/api/kernels", json={"name": name, "path": path}, headers=self.headers, timeout=120
        )
        answer.raise_for_status()
        self.id = answer.json()["id"]
        self.warnings = ""
        self.connect()

    def connect(self) -> None:
        """Connect to the kernel's channels, for the first time or again; the kernel keeps its state."""
        hub_user = self.hub_user
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in hub_user.web.cookies)
        options = {"ca_certs": hub_user.verify} if isinstance(hub_user.verify, str) else {"cert_reqs": ssl.CERT_NONE}
        self.socket = websocket.create_connection(
            self.root.replace("http", "ws", 1) + f"/api/kernels/{self.id}/channels",
            cookie=cookies,
            origin=hub_user.base,
            sslopt=options if hub_user.base.startswith("https") else None,
            timeout=300,
        )
        self.used = time.monotonic()

    def __enter__(self) -> Kernel:
        """Return the kernel."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the kernel."""
        self.socket.close()
        self.hub_user.web.delete(f"{self.root}/api/kernels/{self.id}", headers=self.headers, timeout=60)

    def is_alive(self) -> bool:
        """Return whether the kernel still runs cells."""
        try:
            return self.run("print('alive')").strip() == "alive"
        except (KernelDied, CellFailed, OSError, websocket.WebSocketException):
            return False

    def message(self, code: str, number: str = "no-answer") -> str:
        """Return the message that runs a cell."""
        header = {"msg_id": number, "msg_type": "execute_request", "username": "", "session": number, "version": "5.3"}
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        return json.dumps(message)

    def run(self, code: str) -> str:
        """Run a cell and return its output; raise CellFailed with its error, KernelDied when the kernel is lost.

        What the cell prints on the standard error is in `warnings` afterwards.
        """
        if time.monotonic() - self.used > IDLE:
            self.socket.close()
            self.connect()
        number = uuid.uuid4().hex
        self.socket.send(self.message(code, number))
        printed = self.warnings = ""
        while True:
            received = self.socket.recv()
            if not received:
                raise ConnectionError("the connection to the kernel was closed")
            answer = json.loads(received)
            if answer["content"].get("execution_state") in ("restarting", "dead"):
                raise KernelDied(code[:80])
            if answer.get("parent_header", {}).get("msg_id") != number:
                continue
            kind, content = answer["msg_type"], answer["content"]
            if kind == "stream" and content["name"] == "stdout":
                printed += content["text"]
            elif kind == "stream":
                self.warnings += content["text"]
            elif kind == "error":
                raise CellFailed(f"{content['ename']}: {content['evalue']}\n" + "\n".join(content["traceback"])[-3000:])
            elif kind == "status" and content["execution_state"] == "idle":
                self.used = time.monotonic()
                return printed


class Kernels:
    """Kernels that tests share, because a start takes seconds; they end with the stack."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.running: dict[tuple[str, str], Kernel] = {}

    def __call__(self, hub_user: HubUser, name: str) -> Kernel:
        """Return a user's kernel; start one where there is none, or where it has died with its server."""
        key = hub_user.name, name
        if key not in self.running or not self.running[key].is_alive():
            self.running[key] = self.stack.enter_context(hub_user.kernel(name))
        return self.running[key]
