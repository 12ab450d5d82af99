"""The host of this scenario, and who is requested on it by now."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests" / "verify"))

from hub import HubUser, tunnel
from lab import Lab
from shell import Shell

WORD = "a-word-for-the-test"


@dataclass
class World:
    """The host, and who is requested on it by now."""

    lab: Lab
    key: Path
    directory: Path
    connection: dict[str, Any]
    secret: str
    base: str = ""
    users: list[dict[str, Any]] = field(default_factory=list)
    groups: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0
    output: str = ""

    def sync(self, *options: str, **expected: Any) -> str:
        """Run playbooks/users.yml with these users; return the line of the recap. `output` is all that it printed."""
        every = {"gpulab_users": self.users, "gpulab_groups": self.groups, **expected}
        # A file, so that hashes stand on no command line.
        path = self.directory / "expected.json"
        path.write_text(json.dumps(every), encoding="utf-8")
        begun = time.monotonic()
        done = self.lab.ansible(
            "ansible-playbook", "playbooks/users.yml", "--limit", self.lab.host, "--extra-vars", f"@{path}", *options
        )
        self.output = done.stdout
        self.seconds = time.monotonic() - begun
        assert done.returncode == 0, " ".join((done.stdout[-4000:] + done.stderr[-1000:]).split())
        return next(line for line in done.stdout.splitlines() if line.startswith(self.lab.host) and "changed=" in line)

    def root(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the host as root."""
        shell = Shell(self.connection, "root", Path(self.connection["key"]))
        return shell.run(command)

    def shell(self, name: str) -> Shell:
        """Log somebody in over SSH with the test's key."""
        return Shell(self.connection, name, self.key)

    def hub_user(self, name: str) -> HubUser:
        """Log somebody in to the hub."""
        return HubUser(self.base, name, WORD, verify=False)

    def account(self, name: str, **more: Any) -> dict[str, Any]:
        """Describe an account with the test's password and key."""
        public = self.key.with_suffix(".pub").read_text(encoding="utf-8").strip()
        return {"name": name, "password_hash": self.secret, "ssh_keys": [public], **more}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give the host with the demo lab's users and a class; take the class away at the end."""
    lab = Lab("molecule/inventory", "users")
    shown = json.loads(lab.ansible("ansible-inventory", "--host", lab.host).stdout)
    connection = {
        "address": shown["ansible_host"],
        "port": shown["ansible_port"],
        "key": shown["ansible_ssh_private_key_file"],
        "arguments": shown["ansible_ssh_common_args"],
        "user": "root",
    }
    directory = tmp_path_factory.mktemp("users")
    key = directory / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "users", "-f", str(key)], check=True)
    argv = ["openssl", "passwd", "-6", "-stdin"]
    secret = subprocess.run(argv, input=WORD, capture_output=True, text=True, check=True).stdout.strip()
    found = World(lab, key, directory, connection, secret)
    with tunnel(connection, "127.0.0.1", shown.get("gpulab_hub_port", 443)) as port:
        found.base = f"https://127.0.0.1:{port}"
        yield found
    found.users, found.groups = [], {}
    done = lab.ansible("ansible-playbook", "playbooks/users.yml", "--limit", lab.host)
    assert done.returncode == 0, done.stdout[-3000:]
