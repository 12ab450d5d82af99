"""What speaks against starting a server on this host now. Every answer is a sentence for a user."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import re
from collections.abc import Mapping
from pathlib import Path

from gpulab_hub.grants import Account, Refusal

LIMITS = ("MemoryMax", "CPUQuotaPerSecUSec")
"""Properties of a slice that JupyterLab's resource bar shows."""
LEAST_MEMORY = 512 * 2**20
"""An idle server and one kernel hold 300 MB."""
LEAST_DISK = 64 * 2**20
"""Room on the host's own disk for a private /tmp and the journal."""
DISKS = (Path("/run"), Path("/var/lib/gpulab/servers"))
"""Where the environment and the private /tmp of a server are."""


def available_memory(meminfo: str) -> int:
    """Read what the kernel can still hand out, from /proc/meminfo."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else 2**63


def reject_full_host(least_memory: int = LEAST_MEMORY, least_disk: int = LEAST_DISK) -> None:
    """Raise Rejection where one more server would do harm."""
    free = available_memory(Path("/proc/meminfo").read_text(encoding="ascii"))
    if free < least_memory:
        raise Refusal(
            f"This host is out of memory ({free // 2**20} MB left): try again when others have finished, "
            "or ask an administrator.",
            "host_out_of_memory",
        )
    for path in DISKS:
        # The first server makes the second one.
        disk = os.statvfs(next(place for place in (path, *path.parents) if place.exists()))
        if disk.f_bavail * disk.f_frsize < least_disk:
            raise Refusal(
                f"This host's disk is full ({path}): your server was not started. Ask an administrator; "
                "your files are safe, and SSH still lets you in.",
                "host_disk_full",
            )


def home_state(status: int) -> str:
    """Return what the exit status of gpulab_server.home means: "", "quota", "full", "missing" or "unwritable"."""
    return {
        0: "",
        errno.EDQUOT: "quota",
        errno.ENOSPC: "full",
        errno.ENOENT: "missing",
        errno.ENOTDIR: "missing",
    }.get(status, "unwritable")


def account_of(name: str) -> Account:
    """Read an account; raise Rejection where there is none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError as error:
        raise Refusal(f"There is no account {name} on this host: ask an administrator.", "no_account") from error
    groups = (grp.getgrgid(gid).gr_name for gid in os.getgrouplist(name, entry.pw_gid))
    return Account(name, entry.pw_uid, entry.pw_gid, entry.pw_dir, tuple(sorted(groups)))


def bar_limits(values: Mapping[str, str]) -> dict[str, str]:
    """Return what JupyterLab's resource bar shows, from the properties of the user's slice."""
    found = {}
    if values.get("MemoryMax", "infinity").isdigit():
        found["MEM_LIMIT"] = values["MemoryMax"]
    quota = values.get("CPUQuotaPerSecUSec", "infinity")
    if quota != "infinity" and (cores := seconds(quota)):
        found["CPU_LIMIT"] = f"{cores:g}"
    return found


def seconds(text: str) -> float:
    """Read a time span as systemd prints it (systemd.time(7)); nothing for one that it never prints of a quota."""
    total = 0.0
    for part in text.split():
        for suffix, factor in (("min", 60.0), ("ms", 1e-3), ("us", 1e-6), ("s", 1.0)):
            if part.endswith(suffix):
                total += float(part.removesuffix(suffix)) * factor
                break
    return total


TIDY = "Your server starts with what it needs in memory: delete something, then restart it."
MESSAGES = {
    "quota": f"You are over your disk quota. {TIDY}",
    "full": f"The disk of your home is full. {TIDY}",
}


def reject_home(account: Account, state: str) -> None:
    """Raise Rejection where there is no home to work in."""
    if state == "missing":
        raise Refusal(f"Your home {account.home} is not there: ask an administrator.", "no_home")
    if state == "unwritable":
        raise Refusal(f"You cannot write into your home {account.home}: ask an administrator.", "home_unwritable")
