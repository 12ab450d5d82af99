# SPDX-License-Identifier: GPL-3.0-or-later
"""The launcher's page about the user's own packages."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gpulab_server import packages_page


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve the page on a socket, with packages of a user's."""
    monkeypatch.setattr(packages_page, "listing", lambda: "ml: 1 packages of yours in /home/<b>ada</b>\n")
    with packages_page.Server(str(tmp_path / "socket"), packages_page.Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield tmp_path / "socket"
        server.shutdown()


def answer(path: Path, request: str) -> str:
    """Send a request and return the whole answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        client.sendall(f"{request} HTTP/1.0\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()


def test_page_names_the_commands_and_the_packages(path: Path) -> None:
    """Text of the user's is shown as text, and no script can run."""
    head, _, body = answer(path, "GET /user/ada/packages/").partition("\r\n\r\n")
    assert " 200 " in head.splitlines()[0]
    assert "Content-Security-Policy: default-src 'none'" in head
    assert all(
        word in body for word in ("%pip install NAME", "install.packages(&quot;NAME&quot;)", "gpulab env repair")
    )
    assert "/home/&lt;b&gt;ada&lt;/b&gt;" in body


def test_other_requests_change_nothing(path: Path) -> None:
    """There is nothing to send to it."""
    assert " 501 " in answer(path, "POST /").splitlines()[0]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (subprocess.TimeoutExpired("gpulab", 60), "printed nothing within 60 seconds"),
        (FileNotFoundError(2, "No such file or directory"), "gpulab: No such file or directory"),
    ],
)
def test_command_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch, error: Exception, words: str) -> None:
    """The page is shown in any case."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", fail)
    assert words in packages_page.page(packages_page.listing())
