# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of a host with their users and groups, read from /proc. Internal to gpulab.core."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")


class Process(NamedTuple):
    """A process: all four of its uids and of its gids (real, effective, saved, file system), and its further groups."""

    pid: int
    parent: int
    uids: frozenset[int]
    gids: frozenset[int]


def process(pid: int, proc: Path = PROC) -> Process | None:
    """Return one process, or None when it has ended; a zombie has, unless threads of it continue."""
    try:
        text = (proc / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    if fields["State"].strip().startswith("Z") and int(fields.get("Threads", "1")) <= 1:
        return None
    uids = frozenset(map(int, fields["Uid"].split()))
    gids = frozenset(map(int, [*fields["Gid"].split(), *fields["Groups"].split()]))
    return Process(pid, int(fields["PPid"]), uids, gids)


def processes(proc: Path = PROC) -> Iterator[Process]:
    """Yield all processes."""
    for entry in proc.iterdir():
        if entry.name.isdigit() and (running := process(int(entry.name), proc)):
            yield running


def ancestors(pid: int, proc: Path = PROC) -> set[int]:
    """Return the uids of a process and of all its ancestors, such as the SSH session of this run."""
    uids: set[int] = set()
    while pid and (running := process(pid, proc)):
        uids |= running.uids
        pid = running.parent
    return uids
