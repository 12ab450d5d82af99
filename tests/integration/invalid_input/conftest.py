"""Bad input against a converged host: one message each, nothing changed."""

from __future__ import annotations

import pytest

from tests.support.lab import Lab


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say which host is tried."""
    parser.addoption("--inventory", default="molecule/inventory")
    parser.addoption("--limit", default="default")


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Lab:
    """Give the host that is tried."""
    return Lab(request.config.getoption("--inventory"), request.config.getoption("--limit"))
