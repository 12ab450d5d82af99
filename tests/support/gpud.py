# SPDX-License-Identifier: GPL-3.0-or-later
"""A broker of GPUs in the process of the tests: nodes that are files, accounts of a table, callers as the test says."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpulab_gpud import server
from gpulab_gpud.accounts import Accounts, Caller
from gpulab_gpud.cards import Card
from gpulab_gpud.config import Config
from gpulab_gpud.core.model import Limits, Policy
from gpulab_gpud.service import Service
from gpulab_gpud.store import Store

SECONDS = 60
POLICY = Policy("timeslice", slots=2, hold=3600, groups={"staff": Limits(priority=1)})


class Table(Accounts):
    """Accounts of a table: uid and groups by name. Every connection counts as that of `connects`."""

    def __init__(self) -> None:
        super().__init__("users", "admins", ["staff"], ["hub"])
        self.members = {"ada": {"users"}, "bob": {"users", "staff"}, "eve": {"users"}, "boss": {"users", "admins"}}
        self.numbers = {"root": 0, "hub": 990, "ada": 1001, "bob": 1002, "eve": 1003, "boss": 1004, "mallory": 1005}
        self.connects = "ada"

    def caller(self, uid: int, pid: int) -> Caller | None:  # noqa: ARG002
        """Return the account that connects."""
        name = self.connects
        if name not in self.numbers:
            return None
        groups = self.members.get(name, set())
        admin = name == "root" or "admins" in groups
        return Caller(name, self.numbers[name], pid, self.groups_of(name), "users" in groups, admin, name == "hub")

    def is_member(self, name: str, group: str) -> bool:
        """Read the table."""
        return group in self.members.get(name, set())

    def removed(self, names: Any) -> list[str]:
        """Read the table."""
        return sorted({name for name in names if "users" not in self.members.get(name, set()) and name != "root"})

    def uid(self, name: str) -> int | None:
        """Read the table."""
        return self.numbers.get(name)

    def gids(self) -> frozenset[int]:
        """Return the gids of users and administrators."""
        return frozenset({100, 101})


@dataclass
class FakeCards:
    """GPUs whose nodes are files."""

    directory: Path
    problems: dict[str, str] = field(default_factory=dict)
    count: int = 2

    def read(self) -> list[Card]:
        """Return the GPUs."""
        result = []
        for number in range(self.count):
            node = self.directory / f"nvidia{number}"
            node.touch()
            uuid = f"GPU-{number}"
            result.append(Card(uuid, f"Test {number} (MOCK)", (node,), self.problems.get(uuid, "")))
        return result

    def common(self) -> list[Path]:
        """Return no nodes."""
        return []


class Lab:
    """A running broker and its client."""

    def __init__(self, directory: Path, policy: Policy = POLICY) -> None:
        self.directory, self.policy = directory, policy
        self.accounts, self.cards = Table(), FakeCards(directory)
        self.socket = directory / "gpu.sock"
        self.proc = directory / "proc"
        self.service: Service

    @asynccontextmanager
    async def running(self, connections: int = 1000, seconds: float = 90) -> AsyncIterator[Lab]:
        """Run the broker for the length of the block."""
        store = Store(self.directory / "gpu.sqlite")
        self.service = Service(Config(self.policy, "users", "admins"), store, self.cards, self.accounts)
        await self.service.start()
        runner, listener = await server.listen(server.Api(self.service), self.socket, connections, seconds)
        try:
            yield self
        finally:
            listener.close()
            await runner.cleanup()
            store.close()

    async def call(self, method: str, path: str, body: Any = None, user: str = "") -> tuple[int, Any]:
        """Send a request as a user, and return status and answer."""
        if user:
            self.accounts.connects = user
        return await asyncio.to_thread(self.send, method, path, body)

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request as the current user; blocks."""
        connection = UnixConnection(self.socket)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(str(self.path))


def run(work: Callable[[], Any]) -> Any:
    """Run a test's coroutine with a time limit."""
    return asyncio.run(asyncio.wait_for(work(), SECONDS))
