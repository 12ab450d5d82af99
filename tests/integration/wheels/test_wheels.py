"""The locks, held against the wheels on the index: their tables of contents are read, and no wheel is downloaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import check_wheels

HERE = Path(__file__).parent


@pytest.mark.parametrize("lock", sorted(check_wheels.LOCKS.glob("*-py3*.txt")), ids=lambda lock: lock.stem)
def test_no_wheel_overwrites_another(lock: Path) -> None:
    """In every profile each file has one content, whatever the order of installation."""
    count, _, bad = check_wheels.check(lock, check_wheels.python_of(lock))
    assert count > 50
    assert bad == {}


@pytest.mark.parametrize("extra", sorted(check_wheels.LOCKS.glob("extras/*-py3*.txt")), ids=lambda lock: lock.stem)
def test_no_set_overwrites_a_profile(extra: Path) -> None:
    """What may be requested next to a profile leaves the profile's files alone."""
    profile = check_wheels.LOCKS / f"{extra.stem.partition('-')[2]}.txt"
    count, _, bad = check_wheels.check(profile, check_wheels.python_of(extra), extra)
    assert count > 50
    assert bad == {}


def test_known_bad_pair_is_found() -> None:
    """The newest TensorFlow and the newest PyTorch bring two cuDNNs and two NCCLs under the same names."""
    _, _, bad = check_wheels.check(HERE / "bad-pair.txt", "3.12")
    assert "site-packages/nvidia/cudnn/lib/libcudnn.so.9" in bad
    assert "site-packages/nvidia/nccl/lib/libnccl.so.2" in bad
    assert len(bad) == 72
