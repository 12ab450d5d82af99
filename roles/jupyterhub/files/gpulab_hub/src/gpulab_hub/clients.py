# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of the login page: their addresses, networks, and browsers that have logged in before."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network


@dataclass(frozen=True)
class Source:
    """Origin of a login: an address, and the number of a browser that has logged in with this name before."""

    address: str = "?"
    device: str = ""

    @property
    def client(self) -> str:
        """Return the key by which wrong passwords are counted."""
        return f"device {self.device}" if self.device else client_of(self.address)

    @property
    def neighbourhood(self) -> str:
        """Return the network of the client; a recognised browser counts alone."""
        return self.client if self.device else neighbourhood_of(self.address)


def client_of(address: str) -> str:
    """Return the client of an address: an IPv4 address, the /64 of an IPv6 address, other text unchanged.

    Providers assign a /64 or more to every customer (RFC 6177), so a single IPv6 address does not identify one.
    """
    return _network(address, 32, 64, 32)


def neighbourhood_of(address: str) -> str:
    """Return the network around an address: /24 and /48; all loopback addresses are one."""
    return _network(address, 24, 48, 8)


def _network(address: str, four: int, six: int, loopback: int) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6 and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    bits = six if parsed.version == 6 else loopback if parsed.is_loopback else four
    return str(ip_network(f"{parsed}/{bits}", strict=False))
