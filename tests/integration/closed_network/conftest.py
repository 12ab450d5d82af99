"""An old lab server in a closed network: things of its own are on it, and it reaches nothing but a local mirror."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import LOCAL, Lab, Outcome, bare_host
from tests.support.mirror import Mirror, beside

WAS_THERE = Path(__file__).parent / "old_server.sh"


def snapshot(lab: Lab) -> str:
    """Read owner, mode and digest of every file that old_server.sh lists."""
    return lab.within("sh", "-c", "xargs -a /root/was-there stat -c '%n %U:%G %a'; xargs -a /root/was-there sha256sum")


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Make the host and put on it what an old lab server has."""
    with bare_host(Lab(LOCAL, "brownfield")) as found:
        done = found.ansible("ansible", found.host, "-m", "ansible.builtin.script", "-a", str(WAS_THERE))
        assert done.returncode == 0, done.stdout
        yield found


@pytest.fixture(scope="session")
def mirror(lab: Lab) -> Iterator[Mirror]:
    """Run the mirror, and then take every route away but the one to this machine."""
    with beside(lab) as found:
        lab.within("ip", "route", "del", "default")
        yield found


@pytest.fixture(scope="session")
def before(lab: Lab) -> str:
    """Give the state of everything that was there before the first converge."""
    return snapshot(lab)


@pytest.fixture(scope="session")
def converged(lab: Lab, mirror: Mirror, before: str) -> Outcome:
    """Converge the host from the mirror."""
    return lab.converge(gpulab_sources=mirror.sources)
