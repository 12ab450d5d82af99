# SPDX-License-Identifier: GPL-3.0-or-later
"""Removal of the hub's cookies and tokens from requests."""

from __future__ import annotations

import pytest
from gpulab_server import credentials


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (["jupyterhub-user-ada=x; mine=1; jupyterhub-session-id=y; _xsrf=z"], "mine=1; _xsrf=z"),
        (["jupyterhub-user-ada=x"], ""),
        (["a=1", "JupyterHub-Hub-Login=x"], "a=1"),
        (["a=1,jupyterhub-user-ada=x"], "a=1"),
        (['a=1;jupyterhub-user-ada-oauth-state-ab="x"'], "a=1"),
    ],
)
def test_cookies_of_the_hub_are_removed(sent: list[str], kept: str) -> None:
    """Those of programs stay."""
    assert credentials.cookies(sent) == kept


@pytest.mark.parametrize(
    ("query", "kept"),
    [("a=1&token=x&b=2", "a=1&b=2"), ("token=x", ""), ("%74oken=x&a", "a"), ("tokens=1&atoken=2", "tokens=1&atoken=2")],
)
def test_token_is_removed_from_addresses(query: str, kept: str) -> None:
    """However it is spelled; similar names stay."""
    assert credentials.query(query) == kept
    assert credentials.address(f"http://x/a?b?{query}", query) == "http://x/a?b" + (f"?{kept}" if kept else "")
