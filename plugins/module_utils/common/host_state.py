# SPDX-License-Identifier: GPL-3.0-or-later
"""State of a host, read from /proc, /sys and /etc: no program is started, nothing is changed."""

from __future__ import annotations

import ipaddress
import os
import pwd
import re
import shlex
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LISTEN = "0A"
"""State of a listening socket in /proc/net/tcp (Linux: include/net/tcp_states.h, TCP_LISTEN)."""

SUPPORTED = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04")}
"""Supported distributions, as ID and VERSION_ID of os-release(5)."""


FULL_BYTES = 64_000_000
"""Free space below which an installation fails, in bytes; installers remove some of what they could not complete."""
FULL_INODES = 100
"""Free inodes below which an installation fails."""


@dataclass(frozen=True)
class Listener:
    """A process that listens on a TCP port."""

    pid: int
    name: str
    unit: str


def privilege_problem(uid: int | None = None) -> str:
    """Return why the connection cannot be used, or an empty text where it is root's; `uid` is that of this process."""
    uid = os.geteuid() if uid is None else uid
    if uid == 0:
        return ""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    return (
        f"Nothing was changed, because the connection is {name}'s and not root's: set ansible_become: true for this "
        "host in the inventory (with ansible_become_password or --ask-become-pass where sudo requires a password)."
    )


def os_release(path: Path = Path("/etc/os-release")) -> dict[str, str]:
    """Return the values of os-release(5), or an empty dictionary without the file."""
    if not path.is_file():
        return {}
    pairs = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines())
    return {key: "".join(shlex.split(value)) for key, mark, value in pairs if mark and not key.startswith("#")}


def memory_gb(meminfo: Path = Path("/proc/meminfo")) -> float:
    """Return the usable memory in GB (1e9 bytes)."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", meminfo.read_text(encoding="ascii"), re.MULTILINE)
    return int(found[1]) * 1024 / 1e9 if found else 0.0


def cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def existing_parent(path: Path) -> Path:
    """Return the path itself or its nearest parent that exists."""
    return next(directory for directory in (path, *path.parents) if directory.exists())


def mount_point(path: Path) -> Path:
    """Return the directory at which the file system of a path is mounted."""
    path = existing_parent(path).resolve()
    return next((directory for directory in (path, *path.parents) if directory.is_mount()), Path("/"))


def mount_problem(path: Path) -> str:
    """Return the mount option that keeps programs from being installed below a path; empty if there is none."""
    flags = os.statvfs(existing_parent(path)).f_flag
    return "noexec" if flags & os.ST_NOEXEC else "ro" if flags & os.ST_RDONLY else ""


def full_file_systems(paths: Iterable[Path]) -> list[str]:
    """Return the mount points, among the file systems of some paths, without space or inodes."""
    full = []
    for path in paths:
        state = os.statvfs(existing_parent(path))
        no_inodes = state.f_files > 0 and state.f_favail < FULL_INODES
        if state.f_frsize * state.f_bavail < FULL_BYTES or no_inodes:
            full.append(str(mount_point(path)))
    return sorted(set(full))


def disk_gb(path: Path) -> tuple[float, float]:
    """Return size and free space (without root's reserve) of the file system of a path, in GB (1e9 bytes)."""
    found = os.statvfs(existing_parent(path))
    return found.f_frsize * found.f_blocks / 1e9, found.f_frsize * found.f_bavail / 1e9


def listening_inodes(port: int, proc: Path = Path("/proc")) -> set[str]:
    """Return the inodes of sockets that listen on a TCP port, on any address."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        path = proc / "net" / table
        for line in path.read_text(encoding="ascii").splitlines()[1:] if path.exists() else []:
            fields = line.split()
            if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes


def listeners(port: int, proc: Path = Path("/proc")) -> list[Listener]:
    """Return the processes that listen on a TCP port; process 0 stands for one that cannot be read."""
    inodes = listening_inodes(port, proc)
    if not inodes:
        return []
    wanted = {f"socket:[{inode}]" for inode in inodes}
    found = []
    for process in proc.glob("[0-9]*"):
        try:
            if any(str(entry.readlink()) in wanted for entry in (process / "fd").iterdir()):
                unit = (process / "cgroup").read_text(encoding="utf-8").strip().splitlines()[-1].rpartition("/")[2]
                found.append(Listener(int(process.name), (process / "comm").read_text().strip(), unit))
        except OSError:  # the process has ended
            continue
    return found or [Listener(0, "unknown", "")]


def why_not_bound(address: str) -> str:
    """Return the reason why no program can listen on an IP address of this host, empty where one can.

    A free port is taken for a moment; nothing is sent.
    """
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.bind((address, 0))
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""
