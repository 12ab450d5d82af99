# SPDX-License-Identifier: GPL-3.0-or-later
"""A converged host that runs repair, or whose faults they report."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.lab import Lab, add_converged_option, converged_host


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names a host which is converged already."""
    add_converged_option(parser)


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Converge a bare host; remove it at the end."""
    with converged_host("interrupted", request.config.getoption("--converged")) as host:
        yield host
