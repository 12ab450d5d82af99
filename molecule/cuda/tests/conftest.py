# SPDX-License-Identifier: GPL-3.0-or-later
"""The host of this scenario, and a user on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cuda import CudaHost


@pytest.fixture(scope="session")
def lab() -> CudaHost:
    """Return the host."""
    return CudaHost()


@pytest.fixture(scope="session")
def user(lab: CudaHost) -> Iterator[str]:
    """Yield a user without any rights."""
    with lab.user("ada") as name:
        yield name
