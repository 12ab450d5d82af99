# SPDX-License-Identifier: GPL-3.0-or-later
"""The cookie that gives a browser access to its own user's server."""

from __future__ import annotations

import pytest
from gpulab_hub import server_cookie


def test_cookie_is_for_one_server_and_one_key() -> None:
    """A user cannot derive the cookie of another user's server from their own."""
    own = server_cookie.value("/user/ada/", "key", 0)
    assert own == server_cookie.value("/user/ada/", "key", 0)
    signatures = {own.partition(".")[2]}
    signatures |= {
        server_cookie.value(*other).partition(".")[2] for other in (("/user/eve/", "key", 0), ("/user/ada/", "x", 0))
    }
    assert len(signatures) == 3


@pytest.mark.parametrize(
    "target", ["/user/ada/", "/user/ada", "/user/ada/lab?a=b", "/user/ada/tree#x", "/user/%61da/lab"]
)
def test_own_pages_are_opened(target: str) -> None:
    """With everything that belongs to their address."""
    assert server_cookie.is_own_page(target, "/user/ada/")


@pytest.mark.parametrize(
    "target",
    [
        *(
            "/user/eve/",
            "/user/adam/",
            "/hub/",
            "",
            "user/ada/",
            "//evil.example/user/ada/",
            "https://evil.example/user/ada/",
        ),
        *("/\\evil.example/user/ada/", "/?/user/ada/", "javascript:/user/ada/", "/user/ada/\r\nX: y", "/\t/user/ada/"),
    ],
)
def test_other_pages_are_rejected(target: str) -> None:
    """Of other users, of the hub, of other sites."""
    assert not server_cookie.is_own_page(target, "/user/ada/")
