# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of the host: who has a device node open, whether a process still runs, and how it is ended."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gpulab_gpud.core.model import Process

PROC = Path("/proc")
KILL_SECONDS = 5.0
"""Time in which a killed process ends, unless the kernel waits for its driver."""
LEAST_USER = 1000
"""Uids below are system accounts, which are never ended."""


@dataclass(frozen=True)
class Holder:
    """A process that has nodes open, by their device numbers."""

    process: Process
    uid: int
    devices: frozenset[int]


def identify(pid: int, proc: Path = PROC) -> Process | None:
    """Return a process with the time of its start, None if it has ended."""
    try:
        # The name in brackets may hold blanks and brackets itself.
        fields = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else Process(pid, int(fields[19]))


def owner(pid: int, proc: Path = PROC) -> int | None:
    """Return the real uid of a process, None if it has ended."""
    try:
        status = (proc / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("Uid:")), None)


def runs(process: Process, proc: Path = PROC) -> bool:
    """Return whether a process still runs; a later one with the same number is another process."""
    return identify(process.pid, proc) == process


def holders(nodes: Iterable[Path], only: Container[int] | None = None, proc: Path = PROC) -> list[Holder]:
    """Return the users' processes that have one of the nodes open or mapped; with `only`, those of some uids.

    The inode of an open file is in fdinfo, under whatever name the process sees the node, and without a read of the
    file itself, which may be on a server that does not answer.
    """
    wanted = {}
    for node in nodes:
        try:
            status = os.lstat(node)
        except OSError:
            continue
        wanted[status.st_ino] = status.st_rdev
    result = []
    for directory in proc.iterdir() if wanted else ():
        if not directory.name.isdigit():
            continue
        pid = int(directory.name)
        uid = owner(pid, proc)
        if uid is None or uid < LEAST_USER or (only is not None and uid not in only):
            continue
        opened = frozenset(_opened(directory, wanted)) | frozenset(_mapped(directory, wanted))
        if opened and (process := identify(pid, proc)):
            result.append(Holder(process, uid, opened))
    return result


def _opened(directory: Path, wanted: Mapping[int, int]) -> Iterator[int]:
    """Yield the wanted devices that a process has open, from the inodes of its open files."""
    for name in _names(directory / "fdinfo"):
        try:
            text = (directory / "fdinfo" / name).read_text(encoding="ascii", errors="replace")
            inode = next((int(line[4:]) for line in text.splitlines() if line.startswith("ino:")), 0)
            if inode in wanted and (directory / "fd" / name).stat().st_rdev == wanted[inode]:
                yield wanted[inode]
        except OSError:
            continue


def _mapped(directory: Path, wanted: Mapping[int, int]) -> Iterator[int]:
    """Yield the wanted devices in the memory of a process, which stay after their files were closed."""
    try:
        lines = (directory / "maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split(maxsplit=5)
        # Files of the same number on other file systems are of no device: their names are not below /dev.
        if len(fields) == 6 and int(fields[4]) in wanted and fields[5].startswith("/dev/"):
            yield wanted[int(fields[4])]


def _names(directory: Path) -> list[str]:
    try:
        return [entry.name for entry in directory.iterdir()]
    except OSError:
        return []


def unentitled(found: Iterable[Holder], allowed: Mapping[int, frozenset[int]]) -> list[Holder]:
    """Return the holders who may not have one of their devices open; `allowed` has the uids by device."""
    return [
        holder
        for holder in found
        if holder.uid >= LEAST_USER
        and any(device in allowed and holder.uid not in allowed[device] for device in holder.devices)
    ]


async def end(process: Process, grace: float, proc: Path = PROC) -> bool:
    """End a process: SIGTERM, and SIGKILL after `grace` seconds. Return whether it has ended.

    A pidfd keeps the number from being that of another process meanwhile. No thread waits, however many processes
    ignore the signal.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if not runs(process, proc):
            return True
        for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, KILL_SECONDS)):
            try:
                signal.pidfd_send_signal(descriptor, number)
            except ProcessLookupError:
                return True
            if await _ended(descriptor, seconds):
                return True
        return False
    finally:
        os.close(descriptor)


async def _ended(descriptor: int, seconds: float) -> bool:
    """Return whether the process of a pidfd ends within some seconds: the descriptor is readable then."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await asyncio.wait_for(ended.wait(), seconds)
    except (TimeoutError, asyncio.TimeoutError):  # Python 3.10 has two
        return False
    finally:
        loop.remove_reader(descriptor)
    return True
