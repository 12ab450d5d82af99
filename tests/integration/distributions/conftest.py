# SPDX-License-Identifier: GPL-3.0-or-later
"""Bare hosts of the other distributions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.lab import LOCAL, Lab, bare_host


@pytest.fixture(scope="session", params=["trixie"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Make a bare host."""
    with bare_host(Lab(LOCAL, request.param)) as host:
        yield host
