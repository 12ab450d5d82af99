# SPDX-License-Identifier: GPL-3.0-or-later
"""POSIX access control lists of device nodes, in the kernel's own form (the attribute system.posix_acl_access)."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ATTRIBUTE = "system.posix_acl_access"
VERSION = struct.Struct("<I")
ENTRY = struct.Struct("<HHI")
OWNER, USER, GROUP_OWNER, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
UNDEFINED = 0xFFFFFFFF
READ_WRITE = 6
MODE = 0o660


@dataclass(frozen=True)
class Access:
    """The users and groups that may open a node, besides root."""

    uids: frozenset[int] = frozenset()
    gids: frozenset[int] = frozenset()


def pack(access: Access) -> bytes:
    """Return the attribute: root and the named users and groups read and write, all others have no access."""
    entries = [(OWNER, READ_WRITE, UNDEFINED)]
    entries += [(USER, READ_WRITE, uid) for uid in sorted(access.uids)]
    entries += [(GROUP_OWNER, READ_WRITE, UNDEFINED)]
    entries += [(GROUP, READ_WRITE, gid) for gid in sorted(access.gids)]
    entries += [(MASK, READ_WRITE, UNDEFINED), (OTHER, 0, UNDEFINED)]
    return VERSION.pack(2) + b"".join(ENTRY.pack(*entry) for entry in entries)


def named(data: bytes) -> Access:
    """Return the named users and groups of an attribute."""
    entries = [ENTRY.unpack_from(data, offset) for offset in range(VERSION.size, len(data), ENTRY.size)]
    return Access(
        frozenset(number for tag, _bits, number in entries if tag == USER),
        frozenset(number for tag, _bits, number in entries if tag == GROUP),
    )


def read(node: Path) -> bytes | None:
    """Return the attribute of a node, None without one."""
    try:
        return os.getxattr(node, ATTRIBUTE, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENODATA:
            return None
        raise


def apply(node: Path, access: Access) -> bool:
    """Let exactly these users and groups, and root, open a node. Return whether anything was changed.

    The mode shows the mask, 0660: it is that of the module parameters, with which NVIDIA's nvidia-modprobe leaves a
    node alone.
    """
    status = os.lstat(node)
    right = (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, 0, MODE)
    data = pack(access)
    if right and read(node) == data:
        return False
    if not right:
        os.chown(node, 0, 0, follow_symlinks=False)
        node.chmod(MODE)
    os.setxattr(node, ATTRIBUTE, data, follow_symlinks=False)
    return True


def remove(node: Path, mode: int, gid: int = 0) -> None:
    """Remove the list of a node and set its mode and its group."""
    try:
        os.removexattr(node, ATTRIBUTE, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
    os.chown(node, 0, gid, follow_symlinks=False)
    node.chmod(mode)


def uids(numbers: Iterable[int]) -> frozenset[int]:
    """Return a set of uids without root, who needs no entry."""
    return frozenset(numbers) - {0}
