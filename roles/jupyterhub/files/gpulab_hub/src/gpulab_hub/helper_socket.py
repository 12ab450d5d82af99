# SPDX-License-Identifier: GPL-3.0-or-later
"""Server side of the hub's root helpers: reads one line of JSON from a unix socket, with limits."""

from __future__ import annotations

import json
import pwd
import socket
import struct
import time
from collections.abc import Iterable
from typing import Any


class BadRequest(ValueError):
    """A rejected request. The message holds nothing of what was sent."""


def peer_uid(connection: socket.socket) -> int:
    """Return the uid of the process that connected, from the kernel (unix(7), SO_PEERCRED)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


def check_peer(connection: socket.socket, accounts: Iterable[str]) -> None:
    """Raise BadRequest unless one of the accounts has connected; accounts that do not exist are skipped."""
    allowed = set()
    for name in accounts:
        try:
            allowed.add(pwd.getpwnam(name).pw_uid)
        except KeyError:
            continue
    if (uid := peer_uid(connection)) not in allowed:
        raise BadRequest(f"uid {uid} may not use this socket")


def read_request(connection: socket.socket, largest: int, patience: float) -> dict[str, Any]:
    """Return a request of `largest` bytes at most with its newline, sent within `patience` seconds.

    Raises BadRequest for one that is too long, too slow, incomplete or not a JSON object.
    """
    data = b""
    deadline = time.monotonic() + patience
    while b"\n" not in data:
        if len(data) > largest or (left := deadline - time.monotonic()) <= 0:
            raise BadRequest("the request is too long or too slow")
        connection.settimeout(left)
        try:
            part = connection.recv(65536)
        except TimeoutError:
            raise BadRequest("the request is too slow") from None
        if not part:
            raise BadRequest("the request is incomplete")
        data += part
    if len(data) > largest:
        raise BadRequest("the request is too long")
    # The message of the decoder is not used: it holds what was sent.
    try:
        request = json.loads(data)
    except ValueError:
        raise BadRequest("the request is not JSON") from None
    if not isinstance(request, dict):
        raise BadRequest("the request is not an object")
    return request
