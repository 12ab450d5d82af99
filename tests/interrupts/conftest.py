"""A host of its own that runs are cut off on: it is made at the start and removed at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab import Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Make a bare host."""
    found = Lab("molecule/inventory", "interrupted")
    for playbook in ("molecule/shared/destroy.yml", "molecule/shared/create.yml", "molecule/shared/prepare.yml"):
        done = found.ansible("ansible-playbook", playbook, "--limit", found.host)
        assert done.returncode == 0, done.stdout[-3000:]
    yield found
    found.ansible("ansible-playbook", "molecule/shared/destroy.yml", "--limit", found.host)
