# SPDX-License-Identifier: GPL-3.0-or-later
"""`gpulab rollback` switches between complete releases."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest
from gpulab_cli import layout, rollback


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an environment with three releases, the newest in use, and a fourth one that is incomplete."""
    root = tmp_path / "ml"
    for number, name in enumerate(["one", "two", "three", "half"]):
        directory = root / "releases" / name
        directory.mkdir(parents=True)
        if name != "half":
            (directory / layout.MARKER).write_text(json.dumps({"versions": {"torch": str(number)}}))
    for name, when in (("one", 1_700_000_000), ("two", 1_700_000_100)):
        (root / "releases" / name / layout.REPLACED).touch()
        os.utime(root / "releases" / name / layout.REPLACED, (when, when))
    (root / "current").symlink_to("releases/three")
    return root


def test_rollback_switches_to_the_previous_release_and_back(root: Path) -> None:
    """An incomplete release is never used."""
    assert [path.name for path in layout.complete_releases(root)] == ["three", "two", "one"]
    assert rollback.roll_back(root, None) == root / "releases" / "two"
    assert (root / "current").resolve() == root / "releases" / "two"
    assert rollback.roll_back(root, None) == root / "releases" / "three"
    assert rollback.roll_back(root, "one") == root / "releases" / "one"
    assert rollback.roll_back(root, "half") is None
    assert (root / "current").resolve() == root / "releases" / "one"


def test_releases_are_listed_with_their_packages(root: Path) -> None:
    """One line each, the one in use first."""
    assert rollback.listing(root.parent).splitlines()[0].split() == [root.name, "three", "1", "packages", "in", "use"]


def test_rollback_does_not_wait_forever_for_an_installation(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to do."""
    monkeypatch.setattr(rollback, "LOCK_SECONDS", 0.2)
    with (root / layout.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="wait for its end"):
            rollback.roll_back(root, None)
