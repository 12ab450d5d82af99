# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of an environment: its releases, their markers, and the link to the current release.

The package gpulab_cli has a link to this file, so it imports the standard library only.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"
"""The lock of the environment's directory: a process holds it while it changes releases or the link."""
MARKER = ".gpulab-release.json"
"""Written last: a release that has it is complete."""
REPLACED = ".gpulab-replaced"
"""Marks when another release replaced this one: processes that started through the link before may still use it."""


class LockTimeoutError(OSError):
    """Another process held the lock of an environment for the whole time."""


@contextmanager
def locked(root: Path, timeout: float) -> Iterator[None]:
    """Hold the lock of an environment.

    `timeout` is in seconds. Raises LockTimeoutError when another process holds the lock for longer.
    """
    deadline = time.monotonic() + timeout
    with (root / LOCK).open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LockTimeoutError(
                        f"an installation of {root.name} is running: wait for its end, then try again"
                    ) from None
                time.sleep(0.2)
        yield


def last_used_at(release: Path) -> float:
    """Return the time at which a release was replaced or, if it never was, made."""
    marks = (release / REPLACED, release / MARKER, release)
    return next(mark for mark in marks if mark.exists()).stat().st_mtime


def complete_releases(root: Path) -> list[Path]:
    """Return the complete releases of an environment: the current one, then the others by their last use."""
    current = (root / "current").resolve()
    releases = [path for path in (root / "releases").iterdir() if (path / MARKER).is_file()]
    releases.sort(key=last_used_at, reverse=True)
    return sorted(releases, key=lambda path: path.resolve() != current)


def switch(root: Path, name: str) -> None:
    """Let the link `current` of an environment point to a release, in one step."""
    current = root / "current"
    previous = current.resolve() if current.is_symlink() else None
    new_link = root / ".current"
    new_link.unlink(missing_ok=True)
    new_link.symlink_to(Path("releases") / name)
    new_link.replace(current)
    if previous and previous != current.resolve() and previous.is_dir():
        (previous / REPLACED).touch()
