"""Who runs on this controller, and whether somebody who ran here still does."""

from __future__ import annotations

import getpass
import os
import platform
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any


def started(pid: int, proc: Path = Path("/proc")) -> str:
    """Give the start time of a process (field 22 of proc_pid_stat(5)), nothing where it is gone or cannot be read."""
    try:
        text = (proc / str(pid) / "stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    # The second field is the program's name in brackets and may hold blanks.
    return text.rpartition(")")[2].split()[19]


def machine(paths: tuple[Path, ...] = (Path("/etc/machine-id"), Path("/proc/sys/kernel/random/boot_id"))) -> str:
    """Give what tells this controller, since it was started, from every other."""
    return "-".join(path.read_text(encoding="ascii").strip() for path in paths if path.is_file()) or platform.node()


def identity(pid: int) -> dict[str, Any]:
    """Describe the run whose main process is `pid`."""
    start = started(pid)
    return {
        "run": f"{machine()}:{pid}:{start}",
        "machine": machine(),
        "controller": platform.node(),
        "user": getpass.getuser(),
        "pid": pid,
        "started": start,
        "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def is_left_behind(holder: dict[str, Any], stale_hours: float, here: str, now: datetime, start_now: str) -> bool:
    """Tell whether a lock's run has ended.

    `here` is this machine, `start_now` the start time of the process that has the holder's number here now. Of another
    machine only the age of the lock is known.
    """
    if holder["machine"] == here:
        return start_now != str(holder["started"])
    return now - datetime.fromisoformat(holder["since"]) > timedelta(hours=stale_hours)


def main_process() -> int:
    """Give the process of ansible-playbook itself; tasks run in its children."""
    return os.getppid()
