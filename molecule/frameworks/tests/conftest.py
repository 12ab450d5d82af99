"""The host of this scenario, for tests that converge it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests"))

from lab import Lab


@pytest.fixture(scope="session")
def lab() -> Lab:
    """Give the host."""
    return Lab("molecule/inventory", "frameworks")
