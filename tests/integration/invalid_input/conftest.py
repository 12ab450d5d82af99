# SPDX-License-Identifier: GPL-3.0-or-later
"""Invalid input on a converged host gives one message each and changes nothing."""

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
