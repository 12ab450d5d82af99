# SPDX-License-Identifier: GPL-3.0-or-later
"""Listening TCP sockets of this host and their users, from /proc/net/tcp and /proc/net/tcp6 (proc(5))."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple

LISTEN = "0A"
"""State of a listening socket (Linux: include/net/tcp_states.h)."""
TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
LOOPBACK = {"localhost": ("127.0.0.1", "::1"), "127.0.0.1": ("127.0.0.1",)}
"""Host names that may be connected to, and their addresses in order of preference."""


class Listener(NamedTuple):
    """A listening socket: its address, its port, the uid that made it, its inode."""

    address: IPv4Address | IPv6Address
    port: int
    uid: int
    inode: int


class PortRejectedError(Exception):
    """Connections to the port are not allowed. `status` is the HTTP status of the answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def parse(table: str) -> list[Listener]:
    """Return the listening sockets of one table of the kernel."""
    rows = (line.split() for line in table.splitlines()[1:])
    return [Listener(*endpoint(row[1]), int(row[7]), int(row[9])) for row in rows if row[3] == LISTEN]


def endpoint(text: str) -> tuple[IPv4Address | IPv6Address, int]:
    """Return address and port of an entry, which the kernel prints as 32-bit words in the byte order of the host."""
    address, port = text.split(":")
    words = [int(address[start : start + 8], 16) for start in range(0, len(address), 8)]
    return ip_address(struct.pack(f"={len(words)}I", *words)), int(port, 16)


def accepting(listeners: Iterable[Listener], target: str, port: int) -> list[Listener]:
    """Return the sockets that can accept a connection to an address: bound to it, or to all addresses.

    An IPv6 socket on all addresses may accept IPv4 too (the table does not show IPV6_V6ONLY).
    """
    address = ip_address(target)
    accepted = {address, IPv6Address("::")}
    if isinstance(address, IPv4Address):
        accepted |= {IPv4Address("0.0.0.0"), IPv6Address(f"::ffff:{address}")}  # noqa: S104  # compared, not bound
    return [item for item in listeners if item.port == port and item.address in accepted]


def choose(listeners: Iterable[Listener], host: str, port: int, uid: int) -> tuple[str, frozenset[Listener]]:
    """Return the address to connect to and the sockets that can accept the connection, all of them of `uid`.

    Raises PortRejectedError where no address has such sockets.
    """
    if host not in LOOPBACK:
        raise PortRejectedError(f"{host} is not allowed: use localhost.", 403)
    sockets_by_address = {target: accepting(listeners, target, port) for target in LOOPBACK[host]}
    for target, sockets in sockets_by_address.items():
        if sockets and all(item.uid == uid for item in sockets):
            return target, frozenset(sockets)
    if any(sockets_by_address.values()):
        raise PortRejectedError(
            f"Port {port} belongs to another user. Start your program on another port, or on a unix socket.", 403
        )
    raise PortRejectedError(f"Nothing listens on port {port} of {host}. Start your program first.", 503)


def read() -> list[Listener]:
    """Return all listening TCP sockets of this network namespace; raise PortRejectedError where the table is hidden."""
    try:
        tables = [Path(TABLES[0]).read_text(encoding="ascii")]
    except OSError as error:
        raise PortRejectedError(
            f"{TABLES[0]} cannot be read ({error.strerror}), so no port is proxied. Ask the administrator.", 503
        ) from error
    # A host without IPv6 lacks the second table.
    tables += [path.read_text(encoding="ascii") for path in map(Path, TABLES[1:]) if path.exists()]
    return [listener for table in tables for listener in parse(table)]
