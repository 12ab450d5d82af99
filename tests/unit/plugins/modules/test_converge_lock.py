# SPDX-License-Identifier: GPL-3.0-or-later
"""Module converge_lock and the identity of a run: one run at a time changes a host."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ansible_collections.gpulab.core.plugins.modules import converge_lock
from ansible_collections.gpulab.core.plugins.plugin_utils import run_identity

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
MINE, OTHER = {"run": "a"}, {"run": "b"}


def test_free_lock_is_acquired_and_kept(tmp_path: Path) -> None:
    """A run that acquires it twice, for example after a restart of the host, still holds it."""
    path = tmp_path / "lock"
    assert converge_lock.take(path, MINE, {}) == MINE
    assert converge_lock.take(path, MINE, {}) == MINE
    assert converge_lock.read(path) == MINE


def test_lock_of_another_run_is_kept(tmp_path: Path) -> None:
    """The result is the holder."""
    path = tmp_path / "lock"
    converge_lock.take(path, OTHER, {})
    assert converge_lock.take(path, MINE, {}) == OTHER
    assert converge_lock.read(path) == OTHER


def test_stale_lock_is_taken_over_once(tmp_path: Path) -> None:
    """Only the holder that was found dead is replaced: another run may have been faster."""
    path = tmp_path / "lock"
    converge_lock.take(path, OTHER, {})
    assert converge_lock.take(path, MINE, OTHER) == MINE
    assert converge_lock.take(path, {"run": "c"}, OTHER) == MINE


def test_unreadable_lock_is_replaced(tmp_path: Path) -> None:
    """An incomplete file, as a full disk leaves it, does not lock the host for ever."""
    path = tmp_path / "lock"
    path.write_text("{")
    assert converge_lock.take(path, MINE, {}) == MINE
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["lock"]


def holder(machine: str, started: str, hours_ago: float) -> dict[str, str]:
    """Return the record of a lock."""
    return {"machine": machine, "started": started, "since": (NOW - timedelta(hours=hours_ago)).isoformat()}


@pytest.mark.parametrize(
    ("record", "start_now", "stale"),
    [
        (holder("here", "100", 99), "100", False),  # it runs, however long
        (holder("here", "100", 0), "", True),  # its process is gone
        (holder("here", "100", 0), "200", True),  # its number belongs to another process now
        (holder("elsewhere", "100", 3), "", False),
        (holder("elsewhere", "100", 5), "", True),
    ],
)
def test_only_dead_or_old_locks_are_stale(record: dict[str, str], start_now: str, stale: bool) -> None:
    """On this controller the process decides, on another one the age."""
    assert run_identity.is_stale(record, 4, "here", NOW, start_now) is stale


def test_identity_is_the_runs_own() -> None:
    """The same process gives the same run, another one another."""
    mine = run_identity.identity(os.getpid())
    assert mine["run"] == run_identity.identity(os.getpid())["run"]
    assert mine["run"] != run_identity.identity(os.getppid())["run"]
    assert run_identity.started(2**22 + 1) == ""


def test_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run with a uid that passwd(5) does not list, and without USER."""
    for error in (KeyError("getpwuid(): uid not found: 4711"), OSError("No username set in the environment")):
        monkeypatch.setattr("getpass.getuser", raising(error))
        monkeypatch.setattr("os.getuid", lambda: 4711)
        assert run_identity.identity(os.getpid())["user"] == "uid 4711"


def raising(error: Exception) -> Callable[[], str]:
    """Return a function that raises an error."""

    def function() -> str:
        raise error

    return function


def test_containers_on_one_host_are_two_controllers(tmp_path: Path) -> None:
    """They share the boot and the image's machine id, and count processes in namespaces of their own."""
    boot = tmp_path / "boot"
    boot.write_text("b\n")
    (tmp_path / "first").symlink_to("pid:[1]")
    (tmp_path / "second").symlink_to("pid:[2]")
    machines = {run_identity.machine((boot,), tmp_path / name) for name in ("first", "second", "none")}
    assert machines == {"b-pid:[1]", "b-pid:[2]", "b"}
