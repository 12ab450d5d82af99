# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that the root helpers read from their sockets."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import threading

import pytest
from gpulab_hub import helper_socket, launcher


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"not json\n", "not JSON"),
        (b"[1]\n", "not an object"),
        (b'{"action": "start"', "incomplete"),
        (b"x" * (launcher.LARGEST + 1) + b"\n", "too long"),
    ],
)
def test_broken_requests_are_rejected(data: bytes, reason: str) -> None:
    """With one reason, whatever comes."""
    left, right = socket.socketpair()
    with left, right:

        def write() -> None:
            with contextlib.suppress(BrokenPipeError):
                left.sendall(data)
                left.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write)
        writer.start()
        with pytest.raises(helper_socket.BadRequest, match=reason):
            helper_socket.read_request(right, launcher.LARGEST, 10)
        right.close()
        writer.join(10)


def test_other_accounts_are_rejected_at_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket's mode is the first lock, this is the second."""
    left, right = socket.socketpair()
    with left, right:
        helper_socket.check_peer(right, [pwd.getpwuid(os.getuid()).pw_name])
        monkeypatch.setattr(helper_socket, "peer_uid", lambda _: 1001)
        with pytest.raises(helper_socket.BadRequest, match="uid 1001"):
            helper_socket.check_peer(right, ["root", "gpulab-hub"])
