"""One converge at a time."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ansible_collections.gpulab.core.plugins.modules import converge_lock
from ansible_collections.gpulab.core.plugins.plugin_utils import run_identity

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
MINE, OTHER = {"run": "a"}, {"run": "b"}


def test_free_lock_is_taken_and_mine_stays_mine(tmp_path: Path) -> None:
    """A run that comes by twice, after a restart of the host for one, still has its lock."""
    path = tmp_path / "lock"
    assert converge_lock.take(path, MINE, {}) == MINE
    assert converge_lock.take(path, MINE, {}) == MINE
    assert converge_lock.read(path) == MINE


def test_lock_of_another_run_is_not_taken(tmp_path: Path) -> None:
    """The holder is named, and keeps it."""
    path = tmp_path / "lock"
    converge_lock.take(path, OTHER, {})
    assert converge_lock.take(path, MINE, {}) == OTHER
    assert converge_lock.read(path) == OTHER


def test_lock_left_behind_is_taken_over_once(tmp_path: Path) -> None:
    """Only the very holder that was judged to be dead is replaced: somebody may have been faster."""
    path = tmp_path / "lock"
    converge_lock.take(path, OTHER, {})
    assert converge_lock.take(path, MINE, OTHER) == MINE
    assert converge_lock.take(path, {"run": "c"}, OTHER) == MINE


def test_unreadable_lock_is_replaced(tmp_path: Path) -> None:
    """Half a file, left by a full disk, blocks nobody for ever."""
    path = tmp_path / "lock"
    path.write_text("{")
    assert converge_lock.take(path, MINE, {}) == MINE
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["lock"]


def holder(machine: str, started: str, hours_ago: float) -> dict[str, str]:
    """Make a lock's record."""
    return {"machine": machine, "started": started, "since": (NOW - timedelta(hours=hours_ago)).isoformat()}


@pytest.mark.parametrize(
    ("record", "start_now", "left_behind"),
    [
        (holder("here", "100", 99), "100", False),  # it runs, however long
        (holder("here", "100", 0), "", True),  # its process is gone
        (holder("here", "100", 0), "200", True),  # its number belongs to another process now
        (holder("elsewhere", "100", 3), "", False),
        (holder("elsewhere", "100", 5), "", True),
    ],
)
def test_only_dead_or_old_locks_are_left_behind(record: dict[str, str], start_now: str, left_behind: bool) -> None:
    """On this controller the process decides, on another one the age."""
    assert run_identity.is_left_behind(record, 4, "here", NOW, start_now) is left_behind


def test_identity_is_the_runs_own() -> None:
    """The same process gives the same run, another one another."""
    mine = run_identity.identity(os.getpid())
    assert mine["run"] == run_identity.identity(os.getpid())["run"]
    assert mine["run"] != run_identity.identity(os.getppid())["run"]
    assert run_identity.started(2**22 + 1) == ""
