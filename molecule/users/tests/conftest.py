# SPDX-License-Identifier: GPL-3.0-or-later
"""The host of this scenario."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.lab import LOCAL, Lab
from tests.support.users import UsersHost, connected


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UsersHost]:
    """Return the host, and give it the users of its inventory back at the end."""
    lab = Lab(LOCAL, "users")
    with connected(UsersHost, lab, tmp_path_factory.mktemp("users")) as host:
        yield host
        host.restore()
