# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of the hub's API."""

from __future__ import annotations

import os
import socket
import threading
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


def answers(*statuses: int) -> tuple[api.Request, list[str]]:
    """Return a request function that answers with these statuses, and the list of its resources."""
    left = list(statuses)
    resources: list[str] = []

    def request(_method: str, resource: str) -> None:
        resources.append(resource)
        if (status := left.pop(0)) >= 400:
            raise api.HubError(status)

    return request, resources


def test_user_is_deleted_when_the_server_has_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub rejects the deletion until then."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    request, resources = answers(400, 503, 204)
    api.delete_user(request, "ada")
    assert resources == ["/users/ada"] * 3


def test_missing_user_counts_as_deleted() -> None:
    """Another run has deleted the user."""
    api.delete_user(answers(404)[0], "ada")


@pytest.mark.parametrize(("statuses", "seconds"), [((403,), 30.0), ((503, 503), -1.0)])
def test_deletion_ends_with_an_error(statuses: tuple[int, ...], seconds: float) -> None:
    """Without the permission, or at the end of the time limit."""
    with pytest.raises(api.HubError, match=f"HTTP {statuses[0]}"):
        api.delete_user(answers(*statuses)[0], "ada", seconds)


def test_request_is_sent_to_the_socket(tmp_path: Path) -> None:
    """With the token; answers of 400 and above are errors."""
    path = str(tmp_path / "hub.sock")
    received: list[str] = []
    replies = [b"HTTP/1.0 200 OK\r\n\r\n{}", b"HTTP/1.0 204 No Content\r\n\r\n", b"HTTP/1.0 403 Forbidden\r\n\r\n"]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            for reply in replies:
                connection = listener.accept()[0]
                with connection:
                    received.append(connection.recv(65536).decode())
                    connection.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        request = api.client(path, "secret")
        assert request("GET", "/users") == {}
        assert request("DELETE", "/users/ada") is None
        with pytest.raises(api.HubError, match="HTTP 403"):
            request("GET", "/users")
        thread.join(10)
    assert received[0].startswith("GET /hub/api/users HTTP/1.1")
    assert "Authorization: token secret" in received[0]
