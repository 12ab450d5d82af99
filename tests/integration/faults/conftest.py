# SPDX-License-Identifier: GPL-3.0-or-later
"""A host on which runs are interrupted: it is made at the start and removed at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.lab import LOCAL, Lab, bare_host
from tests.support.mirror import Mirror, mirror_for


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Make a bare host."""
    with bare_host(Lab(LOCAL, "interrupted")) as host:
        yield host


@pytest.fixture(scope="session")
def mirror(lab: Lab) -> Iterator[Mirror]:
    """Run a mirror that can be made to fail."""
    with mirror_for(lab) as running:
        yield running
