"""A host of its own that runs are cut off on: it is made at the start and removed at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.lab import LOCAL, Lab, bare_host
from tests.support.mirror import Mirror, beside


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Make a bare host."""
    with bare_host(Lab(LOCAL, "interrupted")) as found:
        yield found


@pytest.fixture(scope="session")
def mirror(lab: Lab) -> Iterator[Mirror]:
    """Run a mirror that can be made to fail."""
    with beside(lab) as found:
        yield found
