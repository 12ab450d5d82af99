# SPDX-License-Identifier: GPL-3.0-or-later
"""A converged host for scanners."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.lab import Lab, add_converged_option, converged_host


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names a host which is converged already."""
    add_converged_option(parser)


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Converge a bare host; remove it at the end."""
    with converged_host("scanners", request.config.getoption("--converged")) as host:
        yield host


@pytest.fixture(scope="session")
def explained() -> dict[str, dict[str, str]]:
    """Return the reasons of findings that stay, by scanner and finding."""
    text = (Path(__file__).parent / "explained.yml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))
