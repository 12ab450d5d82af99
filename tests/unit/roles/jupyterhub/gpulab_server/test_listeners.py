# SPDX-License-Identifier: GPL-3.0-or-later
"""Listening TCP sockets and their users."""

from __future__ import annotations

import os
import socket
import sys
from ipaddress import ip_address

import pytest
from gpulab_server import listeners
from gpulab_server.listeners import Listener, PortRejectedError

ME, OTHER, PORT = 1001, 1002, 8050


def listener(address: str, uid: int, inode: int = 1, port: int = PORT) -> Listener:
    """Make a listening socket."""
    return Listener(ip_address(address), port, uid, inode)


def test_tables_of_the_kernel_are_read() -> None:
    """Addresses, ports, uids and inodes of listening sockets alone, as proc(5) prints them."""
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    four = "   0: 0100007F:1F72 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 4711 1 0 100 0\n"
    busy = "   1: 0100007F:1F72 0100007F:8000 01 00000000:00000000 00:00000000 00000000  1002        0 4712 1 0 100 0\n"
    six = "   0: 00000000000000000000000001000000:1F72 0:0 0A 0:0 0:0 0  1002        0 4713 1 0 100 0\n"
    if sys.byteorder == "little":
        assert listeners.parse(head + four + busy) == [listener("127.0.0.1", 1001, 4711)]
        assert listeners.parse(head + six) == [listener("::1", 1002, 4713)]


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_own_socket_is_found(family: socket.AddressFamily, address: str) -> None:
    """On this machine, with its byte order."""
    with socket.socket(family) as server:
        try:
            server.bind((address, 0))
        except OSError:
            pytest.skip(f"{address} does not exist here")
        server.listen()
        port, inode = server.getsockname()[1], os.fstat(server.fileno()).st_ino
        mine = Listener(ip_address(address), port, os.getuid(), inode)
        assert listeners.choose(listeners.read(), "localhost", port, os.getuid()) == (address, frozenset({mine}))


@pytest.mark.parametrize(
    ("sockets", "target"),
    [
        ([("127.0.0.1", ME)], "127.0.0.1"),
        ([("0.0.0.0", ME)], "127.0.0.1"),  # nothing is bound
        ([("::", ME)], "127.0.0.1"),
        ([("::ffff:127.0.0.1", ME)], "127.0.0.1"),
        ([("::1", ME)], "::1"),
        ([("127.0.0.1", ME), ("::1", OTHER)], "127.0.0.1"),
        ([("127.0.0.1", OTHER), ("::1", ME)], "::1"),
        ([("127.0.0.1", ME), ("127.0.0.2", OTHER)], "127.0.0.1"),
    ],
)
def test_own_program_is_reached(sockets: list[tuple[str, int]], target: str) -> None:
    """Wherever it listens, whatever listens elsewhere."""
    assert listeners.choose([listener(*socket_) for socket_ in sockets], "localhost", PORT, ME)[0] == target


@pytest.mark.parametrize(
    ("sockets", "status"),
    [
        ([("127.0.0.1", OTHER)], 403),
        ([("0.0.0.0", OTHER)], 403),  # nothing is bound
        ([("::", OTHER)], 403),
        ([("::ffff:127.0.0.1", OTHER)], 403),
        ([("::1", OTHER)], 403),
        # The kernel prefers the more specific one; which of them takes the connection is not for us to guess.
        ([("0.0.0.0", ME), ("127.0.0.1", OTHER)], 403),
        ([("127.0.0.1", ME), ("127.0.0.1", OTHER)], 403),
        ([("127.0.0.1", ME), ("::", OTHER)], 403),
        ([("127.0.0.1", 0)], 403),
        ([("127.0.0.2", ME)], 503),
        ([], 503),
    ],
)
def test_other_programs_are_rejected(sockets: list[tuple[str, int]], status: int) -> None:
    """Also where only one of those that could take the connection is another's."""
    with pytest.raises(PortRejectedError) as rejected:
        listeners.choose([listener(*socket_) for socket_ in sockets], "localhost", PORT, ME)
    assert rejected.value.status == status


@pytest.mark.parametrize("host", ["::1", "127.0.0.2", "0.0.0.0", "127.1", "example.org", "LOCALHOST", ""])
def test_other_hosts_are_rejected(host: str) -> None:
    """Whatever listens there."""
    with pytest.raises(PortRejectedError, match="use localhost"):
        listeners.choose([listener("::", ME)], host, PORT, ME)


def test_hidden_table_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit with ProcSubset=pid does not have it: then no port is proxied at all."""
    monkeypatch.setattr(listeners, "TABLES", ("/nonexistent/tcp", "/nonexistent/tcp6"))
    with pytest.raises(PortRejectedError, match="/nonexistent/tcp cannot be read"):
        listeners.read()
