# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that is made at the start and removed at the end, or a converged one that is kept."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.hostile_users.world import World
from tests.support.lab import SUDO, Lab, add_converged_option, converged_host
from tests.support.users import connected


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for the size of the test and for its host."""
    group = parser.getgroup("hostile users")
    group.addoption("--examples", type=int, default=12, help="how many sequences of actions are tried")
    group.addoption("--steps", type=int, default=15, help="how many actions a sequence has at most")
    group.addoption("--replay", type=Path, help="a sequence that has failed, as build/hostile/failed.py has it")
    add_converged_option(parser)


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Make and converge a host, unless there is one."""
    with converged_host("hostile", request.config.getoption("--converged")) as host:
        yield host


@pytest.fixture(scope="session")
def world(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Put two hostile users and their victim on the host; restore its users at the end."""
    inspect = [*SUDO, "podman", "inspect", "--format", "{{.State.Pid}}", f"gpulab-{lab.host}"]
    pid = subprocess.run(inspect, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    with connected(World, lab, tmp_path_factory.mktemp("hostile"), pid=pid) as host:
        host.prepare()
        yield host
        host.remove()
