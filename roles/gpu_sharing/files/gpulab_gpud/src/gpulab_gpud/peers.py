# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to the socket: who is at the other end, how many each account has, and for how long."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from typing import Any

CREDENTIALS = struct.Struct("iII")


def credentials(connection: socket.socket) -> tuple[int, int]:
    """Return pid and uid of the process that connected, from the kernel (unix(7), SO_PEERCRED)."""
    pid, uid, _gid = CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
    return pid, uid


class Connections:
    """Limits of connections: their number for each account except root, and the seconds of each one."""

    def __init__(self, most: int, seconds: float) -> None:
        self.most, self.seconds = most, seconds
        self.open: Counter[int] = Counter()


class Guard(asyncio.Protocol):
    """Passes a connection within the limits on to the protocol of the server, and closes others."""

    def __init__(self, inner: Any, connections: Connections) -> None:
        self._inner, self._connections = inner, connections
        self._uid: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._accepted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, and close one too many."""
        assert isinstance(transport, asyncio.Transport)
        self._uid = credentials(transport.get_extra_info("socket"))[1]
        self._connections.open[self._uid] += 1
        if self._uid != 0 and self._connections.open[self._uid] > self._connections.most:
            transport.abort()
            return
        self._accepted = True
        # A client that sends or reads slowly keeps its connection for this long only.
        self._timer = asyncio.get_running_loop().call_later(self._connections.seconds, transport.abort)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from the count."""
        if self._uid is not None:
            self._connections.open[self._uid] -= 1
            if not self._connections.open[self._uid]:
                del self._connections.open[self._uid]
        if self._timer:
            self._timer.cancel()
        if self._accepted:
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass data on."""
        if self._accepted:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass the end of the data on."""
        return bool(self._inner.eof_received()) if self._accepted else None

    def pause_writing(self) -> None:
        """Pass on that the client reads slowly."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the client reads again."""
        self._inner.resume_writing()
