# SPDX-License-Identifier: GPL-3.0-or-later
"""A converged local host whose users a test chooses: run playbooks/users.yml, log in over SSH and at the hub."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.support.hub import HubUser, tunnel
from tests.support.lab import Lab
from tests.support.shell import Shell

PASSWORD = "a-word-for-the-test"
"""The password of every user that a test makes."""


@dataclass
class TestHost:
    """A converged local host, and what its test users log in with.

    `connection` is for root over SSH, `key` the users' private key, `digest` the hash of PASSWORD, `base` the hub's
    address.
    """

    __test__ = False

    lab: Lab
    directory: Path
    connection: dict[str, Any]
    key: Path
    digest: str
    base: str = ""

    def account(self, name: str, **more: Any) -> dict[str, Any]:
        """Return an account of the inventory with the test's password and key."""
        public = self.key.with_suffix(".pub").read_text(encoding="utf-8").strip()
        return {"name": name, "password_hash": self.digest, "ssh_keys": [public], **more}

    def shell(self, name: str) -> Shell:
        """Return a user over SSH, who logs in with the test's key."""
        return Shell(self.connection, name, self.key)

    def hub_user(self, name: str) -> HubUser:
        """Log a user in at the hub."""
        return HubUser(self.base, name, PASSWORD, verify=False)


@dataclass
class UsersHost(TestHost):
    """The host of molecule's scenario `users`: each `sync` makes the users and groups of these lists its users."""

    users: list[dict[str, Any]] = field(default_factory=list)
    groups: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0
    output: str = ""

    def sync(self, *options: str, **expected: Any) -> str:
        """Run playbooks/users.yml and return the line of its recap; `output` is then all that it printed."""
        every = {"gpulab_users": self.users, "gpulab_groups": self.groups, **expected}
        # A file, so that hashes stand on no command line.
        path = self.directory / "expected.json"
        path.write_text(json.dumps(every), encoding="utf-8")
        begun = time.monotonic()
        done = self.lab.ansible(
            "ansible-playbook", "playbooks/users.yml", "--limit", self.lab.host, "--extra-vars", f"@{path}", *options
        )
        # Warnings are written to stderr.
        self.output = done.stdout + done.stderr
        self.seconds = time.monotonic() - begun
        assert done.returncode == 0, " ".join((done.stdout[-4000:] + done.stderr[-1000:]).split())
        return next(line for line in done.stdout.splitlines() if line.startswith(self.lab.host) and "changed=" in line)

    def restore(self) -> None:
        """Give the host the users of its inventory back; many test users may leave in this run."""
        options = ("ansible-playbook", "playbooks/users.yml", "--limit", self.lab.host)
        done = self.lab.ansible(*options)
        if number := re.search(r"users_confirm_removals=(\d+)", done.stdout):
            done = self.lab.ansible(*options, "-e", number[0])
        assert done.returncode == 0, done.stdout[-3000:]

    def root(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the host as root."""
        return Shell(self.connection, "root", Path(self.connection["key"])).run(command)


SomeHost = TypeVar("SomeHost", bound=TestHost)


@contextmanager
def connected(kind: type[SomeHost], lab: Lab, directory: Path, **more: Any) -> Iterator[SomeHost]:
    """Make a key pair and a password hash, and return the host with a tunnel to its hub for the length of the block."""
    shown = json.loads(lab.ansible("ansible-inventory", "--host", lab.host).stdout)
    names = {"address": "ansible_host", "port": "ansible_port", "key": "ansible_ssh_private_key_file"}
    connection = {key: shown[name] for key, name in names.items()}
    connection |= {"arguments": shown["ansible_ssh_common_args"], "user": "root"}
    key = directory / "id"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(key)], check=True, timeout=60
    )
    argv = ["openssl", "passwd", "-6", "-stdin"]
    digest = subprocess.run(argv, input=PASSWORD, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    with tunnel(connection, "127.0.0.1", shown.get("gpulab_hub_port", 443)) as port:
        yield kind(lab, directory, connection, key, digest, f"https://127.0.0.1:{port}", **more)
