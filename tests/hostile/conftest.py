"""A host of its own, made at the start and removed at the end; or a converged one that is kept."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import ROOT, SUDO, Lab, converged_host

sys.path.insert(0, str(ROOT / "tests" / "verify"))

from hub import tunnel
from world import PASSWORD, World


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add how much is tried, and on what."""
    group = parser.getgroup("hostile users")
    group.addoption("--examples", type=int, default=12, help="how many sequences of actions are tried")
    group.addoption("--steps", type=int, default=15, help="how many actions a sequence has at most")
    group.addoption("--replay", type=Path, help="a sequence that has failed, as build/hostile/failed.py has it")
    group.addoption("--converged", help="a local host that is converged and kept; its users are replaced meanwhile")


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Make and converge a host, unless there is one."""
    with converged_host("hostile", request.config.getoption("--converged")) as host:
        yield host


@pytest.fixture(scope="session")
def world(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Put two hostile users and their victim on the host; give it its users back at the end."""
    shown = json.loads(lab.ansible("ansible-inventory", "--host", lab.host).stdout)
    names = {"address": "ansible_host", "port": "ansible_port", "key": "ansible_ssh_private_key_file"}
    connection = {key: shown[name] for key, name in names.items()}
    connection |= {"arguments": shown["ansible_ssh_common_args"], "user": "root"}
    directory = tmp_path_factory.mktemp("hostile")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / "id")], check=True, timeout=60)
    argv = ["openssl", "passwd", "-6", "-stdin"]
    digest = subprocess.run(argv, input=PASSWORD, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    inspect = [*SUDO, "podman", "inspect", "--format", "{{.State.Pid}}", f"gpulab-{lab.host}"]
    pid = subprocess.run(inspect, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    made = World(lab, pid, directory / "id", directory, connection, digest)
    made.prepare()
    with tunnel(connection, "127.0.0.1", shown.get("gpulab_hub_port", 443)) as port:
        made.base = f"https://127.0.0.1:{port}"
        yield made
    made.remove()
