"""The client of the hub's API."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.hub import api


def test_only_a_token_is_read(tmp_path: Path) -> None:
    """Root sends the hub no file that a link in the hub's directory points to."""
    token, secret = tmp_path / "token", tmp_path / "secret"
    token.write_text("ab" * 32)
    secret.write_text("root:$y$secret")
    assert api.read_token(token) == "ab" * 32
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(token)
    os.mkfifo(pipe)
    for path in (link, secret, pipe, tmp_path / "missing"):
        with pytest.raises(OSError, match=r"token|link|No such file"):
            api.read_token(path)


def test_users_are_read_page_by_page() -> None:
    """A hub returns at most one page per request."""
    pages = {0: (["a", "b"], {"offset": 2}), 2: (["c"], None)}

    def request(method: str, resource: str) -> Any:
        names, following = pages[int(resource.rpartition("=")[2])]
        return {"items": [{"name": name} for name in names], "_pagination": {"next": following}}

    assert api.user_names(request) == ["a", "b", "c"]
