# SPDX-License-Identifier: GPL-3.0-or-later
"""`make prove` on a converged host without a GPU."""

from __future__ import annotations

import pytest

from tests.support.lab import Lab


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that name the host."""
    parser.addoption("--inventory", default="molecule/inventory")
    parser.addoption("--limit", default="default")


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Lab:
    """Return the host."""
    return Lab(request.config.getoption("--inventory"), request.config.getoption("--limit"))
