# SPDX-License-Identifier: GPL-3.0-or-later
"""Loopback addresses of users' servers, one for each user.

A certificate is valid for an address, and the certificate of one user must not be valid for the server of another.
"""

from __future__ import annotations

import json
import os
from ipaddress import IPv4Address
from pathlib import Path

from gpulab_hub.launcher import LEAST_UID

FIRST = int(IPv4Address("127.0.0.0"))
ASSIGNED = int(IPv4Address("127.240.0.0"))
"""Below this address a uid is its own number (uid 1000 is 127.0.3.232); from here on addresses are assigned."""
LAST = int(IPv4Address("127.255.255.254"))


def address_of(uid: int, assigned: Path) -> str:
    """Return the IPv4 address of a user's server.

    The uids of directories may have ten digits. Such a uid gets the next address of 127.240.0.0/12, and the file
    `assigned` (JSON, uid to address) keeps it. Raises ValueError for a system account, OverflowError when all
    addresses are taken.
    """
    if uid < LEAST_UID:
        raise ValueError(f"uid {uid} belongs to the system")
    if FIRST + uid < ASSIGNED:
        return str(IPv4Address(FIRST + uid))
    addresses: dict[str, str] = json.loads(assigned.read_text(encoding="ascii")) if assigned.exists() else {}
    if str(uid) not in addresses:
        number = ASSIGNED + len(addresses)
        if number > LAST:
            raise OverflowError(f"{assigned}: all addresses are assigned")
        addresses[str(uid)] = str(IPv4Address(number))
        temporary = assigned.with_suffix(".new")
        temporary.write_text(json.dumps(addresses), encoding="ascii")
        os.replace(temporary, assigned)  # noqa: PTH105
    return addresses[str(uid)]
