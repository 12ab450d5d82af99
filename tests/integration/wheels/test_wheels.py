# SPDX-License-Identifier: GPL-3.0-or-later
"""The wheels of the locks do not overwrite each other's files: tables of contents are read, no wheel is downloaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import check_wheels

HERE = Path(__file__).parent


@pytest.mark.parametrize("lock", sorted(check_wheels.LOCKS.glob("*-py3*.txt")), ids=lambda lock: lock.stem)
def test_no_wheel_overwrites_another(lock: Path) -> None:
    """In every profile each file has one content, in any order of installation."""
    count, _excluded, collisions = check_wheels.check(lock, check_wheels.python_of(lock))
    assert count > 50
    assert collisions == {}


@pytest.mark.parametrize("extra", sorted(check_wheels.LOCKS.glob("extras/*-py3*.txt")), ids=lambda lock: lock.stem)
def test_no_set_overwrites_a_profile(extra: Path) -> None:
    """A set that is installed with a profile does not overwrite the profile's files."""
    profile = check_wheels.LOCKS / f"{extra.stem.partition('-')[2]}.txt"
    count, _excluded, collisions = check_wheels.check(profile, check_wheels.python_of(extra), extra)
    assert count > 50
    assert collisions == {}


def test_conflicting_pair_is_found() -> None:
    """The newest TensorFlow and the newest PyTorch bring two cuDNNs and two NCCLs under the same names."""
    _, _, bad = check_wheels.check(HERE / "bad-pair.txt", "3.12")
    assert "site-packages/nvidia/cudnn/lib/libcudnn.so.9" in bad
    assert "site-packages/nvidia/nccl/lib/libnccl.so.2" in bad
    assert len(bad) == 72
