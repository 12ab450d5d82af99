# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the host and the home before a server starts. Every message is for the user."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import re
from collections.abc import Mapping
from pathlib import Path

from gpulab_hub.grants import Account, Rejection

LIMITS = ("MemoryMax", "CPUQuotaPerSecUSec")
"""Properties of a slice from which JupyterLab's resource bar gets its limits."""
LEAST_MEMORY = 512 * 2**20
"""An idle server and one kernel hold 300 MB."""
LEAST_DISK = 64 * 2**20
"""Space on the host's own disk for a private /tmp and the journal."""
DISKS = (Path("/run"), Path("/var/lib/gpulab/servers"))
"""Directories of the environment and the private /tmp of a server."""


def available_memory(meminfo: str) -> int:
    """Return the available memory in bytes, from the text of /proc/meminfo; a huge number where it is not listed."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(match[1]) * 1024 if match else 2**63


def reject_full_host(least_memory: int = LEAST_MEMORY, least_disk: int = LEAST_DISK) -> None:
    """Raise Rejection where memory or disk space does not suffice for one more server."""
    free = available_memory(Path("/proc/meminfo").read_text(encoding="ascii"))
    if free < least_memory:
        raise Rejection(
            f"This host is out of memory ({free // 2**20} MB left): try again when others have finished, "
            "or ask an administrator.",
            "host_out_of_memory",
        )
    for path in DISKS:
        # The second directory does not exist before the first server starts.
        disk = os.statvfs(next(directory for directory in (path, *path.parents) if directory.exists()))
        if disk.f_bavail * disk.f_frsize < least_disk:
            raise Rejection(
                f"This host's disk is full ({path}): your server was not started. Ask an administrator; "
                "your files are safe, and SSH still lets you in.",
                "host_disk_full",
            )


def home_state(status: int) -> str:
    """Return the state for an exit status of gpulab_server.home: "", "quota", "full", "missing" or "unwritable"."""
    return {
        0: "",
        errno.EDQUOT: "quota",
        errno.ENOSPC: "full",
        errno.ENOENT: "missing",
        errno.ENOTDIR: "missing",
    }.get(status, "unwritable")


def account_of(name: str) -> Account:
    """Return the account of a user; raise Rejection where it does not exist."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError as error:
        raise Rejection(f"There is no account {name} on this host: ask an administrator.", "no_account") from error
    groups = (grp.getgrgid(gid).gr_name for gid in os.getgrouplist(name, entry.pw_gid))
    return Account(name, entry.pw_uid, entry.pw_gid, entry.pw_dir, tuple(sorted(groups)))


def bar_limits(values: Mapping[str, str]) -> dict[str, str]:
    """Return the limits for JupyterLab's resource bar, from the properties of the user's slice."""
    limits = {}
    if values.get("MemoryMax", "infinity").isdigit():
        limits["MEM_LIMIT"] = values["MemoryMax"]
    quota = values.get("CPUQuotaPerSecUSec", "infinity")
    if quota != "infinity" and (cores := seconds(quota)):
        limits["CPU_LIMIT"] = f"{cores:g}"
    return limits


def seconds(text: str) -> float:
    """Return a time span that systemd prints (systemd.time(7)) in seconds; units above minutes count as 0."""
    total = 0.0
    for part in text.split():
        for suffix, factor in (("min", 60.0), ("ms", 1e-3), ("us", 1e-6), ("s", 1.0)):
            if part.endswith(suffix):
                total += float(part.removesuffix(suffix)) * factor
                break
    return total


TIDY = "Your server keeps its own files in memory: delete something, then restart it."
MESSAGES = {
    "quota": f"You are over your disk quota. {TIDY}",
    "full": f"The disk of your home is full. {TIDY}",
}


def reject_home(account: Account, state: str) -> None:
    """Raise Rejection where the home is missing or not writable."""
    if state == "missing":
        raise Rejection(f"Your home {account.home} does not exist: ask an administrator.", "no_home")
    if state == "unwritable":
        raise Rejection(f"You cannot write into your home {account.home}: ask an administrator.", "home_unwritable")
