# SPDX-License-Identifier: GPL-3.0-or-later
"""Disk quotas: file systems without them are named with the remedy, and only quotas that differ are set."""

from __future__ import annotations

from ansible_collections.gpulab.core.plugins.modules import disk_quotas

MOUNTS = """overlay / overlay rw,relatime 0 0
/dev/sda2 /home ext4 rw,relatime,usrquota 0 0
/dev/sdb1 /home/big xfs rw,relatime 0 0
"""
REPORT = """*** Report for user quotas on device /dev/sda2
Block grace time: 7days; Inode grace time: 7days
                        Block limits                File limits
User            used    soft    hard  grace    used  soft  hard  grace
----------------------------------------------------------------------
#0        --      20       0       0              2     0     0
#1001     +-    9000   10240   10240              5     0     0
#1002     --      16       0       0              4     0     0
"""


def test_file_system_of_a_home_is_the_nearest_mount() -> None:
    """Not a mount point whose name merely begins alike."""
    assert disk_quotas.mounted("/home", MOUNTS)[:2] == ("/home", "ext4")
    assert disk_quotas.mounted("/home/big/x", MOUNTS)[:2] == ("/home/big", "xfs")
    assert disk_quotas.mounted("/homeless", MOUNTS)[:2] == ("/", "overlay")


def test_file_system_without_quotas_is_named_with_the_remedy() -> None:
    """Before anything is changed."""
    assert disk_quotas.problem("/home", MOUNTS) == ""
    assert "overlay, which has no quotas" in disk_quotas.problem("/srv", MOUNTS)
    assert "/home/big (xfs) is mounted without quotas for users. Add usrquota" in disk_quotas.problem(
        "/home/big", MOUNTS
    )


def test_only_quotas_that_differ_are_set() -> None:
    """A user without a limit loses an old quota; a name without an account is skipped."""
    current = disk_quotas.reported(REPORT)
    assert current == {"0": 0, "1001": 10240, "1002": 0}
    uids = {"ada": 1001, "eve": 1002}
    assert disk_quotas.differing({"ada": "10M", "eve": None, "new": "1G"}, uids, current) == {}
    assert disk_quotas.differing({"ada": "", "eve": "1.5G"}, uids, current) == {"ada": 0, "eve": 1572864}


def test_sizes_are_counted_in_blocks() -> None:
    """As setquota does; bytes are rounded up."""
    assert [disk_quotas.blocks(size) for size in ("1K", "512M", "2T", "1025")] == [1, 524288, 2147483648, 2]
