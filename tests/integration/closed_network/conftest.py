# SPDX-License-Identifier: GPL-3.0-or-later
"""An old lab server in a closed network: it has files and services of its own, and reaches only a local mirror."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import LOCAL, Lab, Outcome, bare_host
from tests.support.mirror import Mirror, mirror_for

OLD_SERVER = Path(__file__).parent / "old_server.sh"


def snapshot(lab: Lab) -> str:
    """Read owner, mode and digest of every file that old_server.sh lists."""
    return lab.within("sh", "-c", "xargs -a /root/was-there stat -c '%n %U:%G %a'; xargs -a /root/was-there sha256sum")


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Make the host with the files and services of an old lab server."""
    with bare_host(Lab(LOCAL, "brownfield")) as host:
        done = host.ansible("ansible", host.host, "-m", "ansible.builtin.script", "-a", str(OLD_SERVER))
        assert done.returncode == 0, done.stdout
        yield host


@pytest.fixture(scope="session")
def mirror(lab: Lab) -> Iterator[Mirror]:
    """Run the mirror, and remove every route except the one to this machine."""
    with mirror_for(lab) as running:
        lab.within("ip", "route", "del", "default")
        yield running


@pytest.fixture(scope="session")
def before(lab: Lab) -> str:
    """Return the state of all old files before the first converge."""
    return snapshot(lab)


@pytest.fixture(scope="session")
def converged(lab: Lab, mirror: Mirror, before: str) -> Outcome:
    """Converge the host from the mirror."""
    return lab.converge(gpulab_sources=mirror.sources)
