# SPDX-License-Identifier: GPL-3.0-or-later
"""The users at work: a victim, who must not be affected, and hostile users."""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import requests
import websocket

from tests.integration.hostile_users.world import ACTION, HERE, LOGIN, VICTIM, World
from tests.support.hub import CellFailed, HubUser, Kernel, KernelDied, LoginRejected

FAILURES = (
    *(requests.RequestException, websocket.WebSocketException, subprocess.TimeoutExpired, OSError, ValueError),
    *(CellFailed, KernelDied, LoginRejected, RuntimeError),
)
"""The errors with which an action of a hostile user may fail."""
RUN_PROGRAM = (
    "import subprocess\nargv = ['timeout', '{seconds}', '/usr/bin/python3', '-I', '-', {name!r}, {arguments!r}]\n"
    "done = subprocess.run(argv, input={source!r}, capture_output=True, text=True)\nprint(done.stdout + done.stderr)"
)
COMPUTE = """
import ctypes, mmap, multiprocessing.shared_memory as memory, tempfile
block = memory.SharedMemory(create=True, size=2**20)
block.buf[:] = bytes(2**20)
block.close(); block.unlink()
libc = ctypes.CDLL(None, use_errno=True)
number = libc.shmget(0, 4096, 0o1600)
assert number >= 0, "no SysV shared memory left"
libc.shmctl(number, 0, None)
with tempfile.TemporaryFile() as file:
    file.write(bytes(2**20))
print(1 + 1)
"""
"""A cell of the victim: it uses what frameworks need, and computes a sum."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in a block that takes longer: a stopped server holds its user's requests."""

    def end(*_: object) -> None:
        raise TimeoutError(f"no answer after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Victim:
    """A user who works: a session over SSH, a server, a kernel in it."""

    def __init__(self, world: World) -> None:
        self.world = world
        # Secrets on a command line and in the environment of a process over SSH.
        word = world.secret
        self.session = world.shell(VICTIM).start(f"CANARY={word} exec python3 -c 'import sys; sys.stdin.read()' {word}")
        self.log_in()

    def log_in(self) -> None:
        """Log in at the hub and start a kernel."""
        self.user = self.world.hub_user(VICTIM)
        self.user.start_server(LOGIN * 3)
        self.kernel = self.user.kernel("ml")
        self.kernel.socket.settimeout(LOGIN)

    def revive(self) -> None:
        """Log in again where an earlier action has ended the session or the server."""
        try:
            self.work()
        except (AssertionError, *FAILURES):
            self.session.kill()
            self.__init__(self.world)  # type: ignore[misc]

    def work(self) -> None:
        """Check that the session lives and that the kernel computes in time."""
        assert self.session.poll() is None, "the victim's session over SSH has ended"
        assert self.kernel.run(COMPUTE).strip() == "2"

    def log_in_again(self) -> None:
        """Log in by SSH and at the hub in time, and compute in a new kernel."""
        assert self.world.shell(VICTIM).run("echo in", LOGIN).stdout == "in\n", "the victim cannot log in over SSH"
        begun = time.monotonic()
        hub_user = self.world.hub_user(VICTIM)
        assert time.monotonic() - begun < LOGIN, "the victim's login at the hub took too long"
        hub_user.start_server(LOGIN)
        with hub_user.kernel("ml") as kernel:
            kernel.socket.settimeout(LOGIN)
            assert kernel.run(COMPUTE).strip() == "2"

    def close(self) -> None:
        """End the session and the server."""
        self.session.kill()
        self.session.wait(10)
        with contextlib.suppress(*FAILURES):
            self.user.stop_server()


class Attacker:
    """A hostile user. Actions return the output that the user sees; empty when they fail."""

    def __init__(self, world: World, name: str, server: str) -> None:
        self.world, self.name = world, name
        self.names = {"name": name, "uid": str(world.uids[name]), "victim": VICTIM, "server": server}
        self.names["victim_uid"] = str(world.uids[VICTIM])
        self.user: HubUser | None = None
        self.kernel: Kernel | None = None

    def run(self, via: str, primitive: str, **arguments: str) -> str:
        """Run a primitive over SSH or in a notebook."""
        text = json.dumps({**self.names, **arguments})
        source = (HERE / "primitives.py").read_text(encoding="utf-8")
        try:
            if via == "ssh":
                return self.over_ssh(primitive, text, source)
            with limited(3 * ACTION):  # a server may have to start first
                code = RUN_PROGRAM.format(seconds=ACTION - 3, name=primitive, arguments=text, source=source)
                return self.notebook().run(code)
        except FAILURES:
            self.kernel = None
            return ""

    def over_ssh(self, primitive: str, text: str, source: str) -> str:
        """Run a primitive in a session of its own."""
        program = f"timeout {ACTION - 3} /usr/bin/python3 -I - {primitive} {shlex.quote(text)}"
        argv = [*self.world.shell(self.name).argv, program]
        done = subprocess.run(argv, input=source, capture_output=True, text=True, timeout=ACTION, check=False)
        # 255 is an error of ssh itself: there was no login, and the output is not the host's.
        return "" if done.returncode == 255 else done.stdout + done.stderr

    def notebook(self) -> Kernel:
        """Return the kernel; start it, and the server, where there is none."""
        if not self.kernel:
            self.web().start_server(LOGIN)
            self.kernel = self.web().kernel("ml")
            self.kernel.socket.settimeout(ACTION)
        return self.kernel

    def web(self) -> HubUser:
        """Return the login at the hub; log in where there is none."""
        self.user = self.user or self.world.hub_user(self.name)
        return self.user

    def request(self, method: str, path: str, body: Any) -> str:
        """Send a request to the hub with the own cookie; return status and text of the answer."""
        url = f"{self.world.base}/hub/{path.format(**self.names)}"
        try:
            with limited(2 * ACTION):
                web, headers = self.web().web, self.web()._xsrf()
                answer = web.request(method, url, json=body, headers=headers, timeout=ACTION, allow_redirects=False)
        except FAILURES:
            return ""
        return f"{answer.status_code} {answer.text}" if answer.status_code < 300 else ""
