# SPDX-License-Identifier: GPL-3.0-or-later
"""The host of this scenario, for tests that converge it."""

from __future__ import annotations

import pytest

from tests.support.lab import LOCAL, Lab


@pytest.fixture(scope="session")
def lab() -> Lab:
    """Return the host."""
    return Lab(LOCAL, "frameworks")
