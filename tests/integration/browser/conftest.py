# SPDX-License-Identifier: GPL-3.0-or-later
"""A real browser at a running hub: the assertions are about what the pages show."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.browser.chromium import chromium
from tests.integration.browser.pages import Lab, Page


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for the hub, the users and the directory of the pictures."""
    group = parser.getgroup("browser")
    group.addoption("--hub", help="address of the hub, such as https://127.0.0.1:18443")
    group.addoption(
        "--passwords",
        type=Path,
        default=os.environ.get("GPULAB_PASSWORDS"),
        help="directory with one file per user, the password its first word",
    )
    group.addoption("--user", default="grace", help="a user (default: grace)")
    group.addoption("--administrator", default="ada", help="an administrator (default: ada)")
    group.addoption("--pictures", type=Path, help="directory for the pictures (default: a temporary one)")


@pytest.fixture(scope="session")
def hub(request: pytest.FixtureRequest) -> str:
    """Return the hub's address."""
    address = request.config.getoption("--hub")
    if not address:
        raise pytest.UsageError("name the hub: --hub https://127.0.0.1:18443")
    return str(address).rstrip("/")


@pytest.fixture(scope="session")
def pictures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory for pictures."""
    directory = request.config.getoption("--pictures") or tmp_path_factory.mktemp("pictures")
    directory.mkdir(parents=True, exist_ok=True)
    return Path(directory)


@pytest.fixture(scope="session")
def passwords(request: pytest.FixtureRequest) -> Path:
    """Return the directory with users' passwords."""
    directory = request.config.getoption("--passwords")
    if not directory:
        raise pytest.UsageError(
            "name the directory with passwords: --passwords build/passwords/local (docs/how-to/verify.md)"
        )
    return Path(directory)


@contextmanager
def browser(hub: str, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Start a browser with its own profile: users do not share cookies."""
    with chromium(hub, tmp_path_factory.mktemp("profile")) as driver:
        yield Page(driver, hub, pictures)


def word(directory: Path, name: str) -> str:
    """Return a password: the first word of the file with the user's name."""
    return (directory / name).read_text(encoding="utf-8").split()[0]


@pytest.fixture(scope="session")
def lab(
    request: pytest.FixtureRequest, hub: str, passwords: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """Log in as an ordinary user and wait for JupyterLab; stop the server at the end."""
    name = request.config.getoption("--user")
    with browser(hub, pictures, tmp_path_factory) as page:
        page.open("/")
        page.see("input[name=username]")
        page.picture("login")
        page.log_in(name, word(passwords, name))
        opened = Lab(page, name)
        try:
            opened.wait_until_loaded()
            yield opened
            opened.remove_workspace()
        finally:
            page.stop_server()


@pytest.fixture(scope="session")
def administrator(
    request: pytest.FixtureRequest, hub: str, passwords: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """Log in as an administrator who goes straight to the admin page; no server is started."""
    name = request.config.getoption("--administrator")
    with browser(hub, pictures, tmp_path_factory) as page:
        page.open("/hub/login?next=%2Fhub%2Fadmin")
        page.log_in(name, word(passwords, name))
        yield page
