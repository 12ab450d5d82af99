# SPDX-License-Identifier: GPL-3.0-or-later
"""The host of this scenario."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.sharing import SharingHost


@pytest.fixture(scope="session")
def host() -> SharingHost:
    """Return the host."""
    return SharingHost()


@pytest.fixture
def lab(host: SharingHost) -> Iterator[SharingHost]:
    """Yield the host without any grant."""
    host.release_all()
    yield host
    host.release_all()
