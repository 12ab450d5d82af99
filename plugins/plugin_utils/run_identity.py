# SPDX-License-Identifier: GPL-3.0-or-later
"""Identity of a run on this controller, and whether an earlier run still runs."""

from __future__ import annotations

import getpass
import os
import platform
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any


def started(pid: int, proc: Path = Path("/proc")) -> str:
    """Return the start time of a process (field 22 of proc_pid_stat(5)), or an empty text where it does not run."""
    try:
        text = (proc / str(pid) / "stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    # The second field is the program's name in brackets and may contain spaces.
    return text.rpartition(")")[2].split()[19]


def machine(
    paths: tuple[Path, ...] = (Path("/etc/machine-id"), Path("/proc/sys/kernel/random/boot_id")),
    namespace: Path = Path("/proc/self/ns/pid"),
) -> str:
    """Return a name of this controller since its last boot that no other controller has.

    Containers of one image share their host's boot and perhaps a machine id. Each numbers processes in a namespace of
    its own, and cannot read whether a run of another one lives.
    """
    parts = [path.read_text(encoding="ascii").strip() for path in paths if path.is_file()] or [platform.node()]
    if namespace.is_symlink():
        parts.append(str(namespace.readlink()))
    return "-".join(parts)


def user() -> str:
    """Return the name of this user on the controller, or the number where a container has no name for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the second one since Python 3.13
        return f"uid {os.getuid()}"


def identity(pid: int) -> dict[str, Any]:
    """Return the identity of the run whose main process is `pid`."""
    start = started(pid)
    return {
        "run": f"{machine()}:{pid}:{start}",
        "machine": machine(),
        "controller": platform.node(),
        "user": user(),
        "pid": pid,
        "started": start,
        "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def is_stale(holder: dict[str, Any], stale_hours: float, here: str, now: datetime, start_now: str) -> bool:
    """Return whether the run that holds a lock has ended.

    `here` is this machine, `start_now` the start time of the process that has the holder's number here now. For another
    machine, only the age of the lock counts.
    """
    if holder["machine"] == here:
        return start_now != str(holder["started"])
    return now - datetime.fromisoformat(holder["since"]) > timedelta(hours=stale_hours)


def main_process() -> int:
    """Return the process of ansible-playbook itself; tasks run in its children."""
    return os.getppid()
