# SPDX-License-Identifier: GPL-3.0-or-later
"""Access control lists of device nodes."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from gpulab_gpud import acl
from gpulab_gpud.acl import Access

MAJOR = 320
"""A major number that no driver has: the kernel assigns it neither statically nor dynamically."""
OPEN = "import os, sys; os.setgid(65534); os.setuid(int(sys.argv[2])); os.open(sys.argv[1], os.O_RDWR)"


def test_attribute_names_users_and_groups() -> None:
    """In the order that the kernel requires: by tag, then by number."""
    access = Access(frozenset({1002, 1001}), frozenset({50}))
    data = acl.pack(access)
    assert acl.named(data) == access
    tags = [acl.ENTRY.unpack_from(data, offset)[0] for offset in range(4, len(data), acl.ENTRY.size)]
    assert tags == sorted(tags)


def test_root_needs_no_entry() -> None:
    """An entry for the owner by number would be a second one."""
    assert acl.uids([0, 5]) == {5}


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """Return a device node that no driver owns."""
    tmp_path.chmod(0o711)
    path = tmp_path / "nvidia0"
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(MAJOR, 0))
    except PermissionError:
        pytest.skip("only root can make device nodes")
    return path


def error_of(node: Path, uid: int) -> int:
    """Return the error number of an attempt to open the node as a user."""
    for parent in node.parents[:-2]:
        parent.chmod(parent.stat().st_mode | 0o011)
    argv = [sys.executable, "-I", "-c", OPEN, str(node), str(uid)]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert "OSError" in result.stderr or "PermissionError" in result.stderr, result.stderr
    return errno.EACCES if "[Errno 13]" in result.stderr else errno.ENXIO if "[Errno 6]" in result.stderr else 0


def test_granted_user_reaches_the_driver_and_others_do_not(node: Path) -> None:
    """ENXIO comes after the check of permissions: no driver answers. EACCES is the check itself."""
    assert acl.apply(node, Access(frozenset({1001})))
    assert not acl.apply(node, Access(frozenset({1001}))), "nothing to change"
    assert error_of(node, 1001) == errno.ENXIO
    assert error_of(node, 1002) == errno.EACCES
    assert stat.S_IMODE(node.stat().st_mode) == 0o660, "nvidia-modprobe compares it"
    acl.apply(node, Access())
    assert error_of(node, 1001) == errno.EACCES


def test_access_is_repaired(node: Path) -> None:
    """After nvidia-modprobe or an administrator made the node again."""
    acl.apply(node, Access(frozenset({1001})))
    node.chmod(0o666)
    assert acl.apply(node, Access(frozenset({1001})))
    assert error_of(node, 1002) == errno.EACCES


def test_removal_restores_the_mode(node: Path) -> None:
    """A host without the broker is as it was."""
    acl.apply(node, Access(frozenset({1001})))
    acl.remove(node, 0o666)
    assert acl.read(node) is None
    assert error_of(node, 1002) == errno.ENXIO


def test_link_is_not_followed(node: Path) -> None:
    """Root writes to the node itself only."""
    link = node.with_name("nvidia1")
    link.symlink_to(node)
    with pytest.raises(OSError, match=r"."):
        acl.apply(link, Access(frozenset({1002})))
    assert acl.read(node) is None
