# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the state of a host that hostile users must not change, as JSON; the host's own Python runs it as root.

Called as `python3 -I -c FILE`, options as JSON on standard input; `users` maps names of hostile users to their uids.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TREES = ["/etc", "/root", "/usr/local", "/var/lib/gpulab", "/var/spool/cron", "/srv/shared", "/home", "/run/gpulab"]
"""Directories in which nothing may change. Entries with the name or the uid of a hostile user are left out."""
CHANGING = [
    "passwd",
    "shadow",
    "group",
    "gshadow",
    "subuid",
    "subgid",
    ".pwd.lock",
    "jupyterhub.sqlite",
    "users.token",
    "gpulab-users.json",
]
"""Files whose content may change: owner and mode stay."""
LIVING = [".gpulab-leaving", ".local", ".ipython", ".cache", ".jupyter", ".ansible", ".config", "atjobs", "atspool"]
"""Directories of homes and of at whose content may change: owner and mode stay."""
MADE = ["/var/lib/gpulab/homes", "/home/.gpulab-leaving"]
"""Directories that the first archive of a home creates."""
UNITS = ["gpulab-hub", "gpulab-proxy", "gpulab-launcher.socket", "gpulab-password.socket", "ssh", "dbus"]
UNITS += ["systemd-logind", "systemd-journald", "cron", "atd"]


def entry(path: str) -> str:
    """Return kind, mode, owner and digest of a file, or where a link points to."""
    info = Path(path).lstat()
    shown = f"{info.st_mode:o} {info.st_uid}:{info.st_gid}"
    if stat.S_ISLNK(info.st_mode):
        return f"{shown} -> {Path(path).readlink()}"
    name = Path(path).name.rstrip("-")
    if stat.S_ISREG(info.st_mode) and not name.startswith(tuple(CHANGING)):
        shown += f" {hashlib.sha256(Path(path).read_bytes()).hexdigest()}"
    return shown


def watched(users: dict[str, int]) -> Iterator[str]:
    """Return the paths that are compared."""
    own = {*users, *map(str, users.values())}
    for tree in TREES:
        for directory, inner, names in os.walk(tree):
            inner[:] = [name for name in inner if not own.intersection(re.split("[-.]", name))]
            names = [name for name in names if not own.intersection(re.split("[-.]", name))]
            yield from (path for name in (*inner, *names) if (path := f"{directory}/{name}") not in MADE)
            inner[:] = [name for name in inner if name not in LIVING and not is_users(f"{directory}/{name}")]


def is_users(path: str) -> bool:
    """Return whether users may change the content of a directory."""
    return path == "/srv/shared/hostile"


def files(users: dict[str, int]) -> dict[str, str]:
    """Return the state of every watched file; files that vanish meanwhile are left out."""
    entries = {}
    for path in watched(users):
        try:
            entries[path] = entry(path)
        except FileNotFoundError:
            continue
    return entries


def processes(users: dict[str, int]) -> Iterator[tuple[str, int, str, str]]:
    """Return user, number, cgroups and command of each process that has a hostile user's uid in any way."""
    names = {str(uid): name for name, uid in users.items()}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            status = dict(line.split(":\t", 1) for line in (path / "status").read_text().splitlines() if ":\t" in line)
            name = next((names[uid] for uid in status["Uid"].split() if uid in names), None)
            # A process that has ended is in no group any more.
            if name and status["State"][0] not in "ZX":
                command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                yield name, int(path.name), (path / "cgroup").read_text(), command
        except (OSError, KeyError):
            continue


def outside(users: dict[str, int]) -> list[str]:
    """Return the processes of hostile users that are outside of their slices, now and a moment later."""

    def current() -> dict[int, str]:
        every = processes(users)
        return {pid: f"{name} {pid} {command[:80]}" for name, pid, groups, command in every if wrong(name, groups)}

    def wrong(name: str, groups: str) -> bool:
        return f"/user-{users[name]}.slice" not in groups

    before = current()
    # One that is ending has left its group already.
    time.sleep(0.05 if before else 0)
    return [line for pid, line in current().items() if pid in before]


def power(users: dict[str, int]) -> list[str]:
    """Return what could act in a user's name although the user runs nothing: setuid files and IPC objects."""
    uids = set(users.values())
    left = []
    for tree in ("/srv/shared", "/dev/shm", "/tmp", "/var/tmp", "/run/lock"):
        for directory, _, names in os.walk(tree):
            for path in (f"{directory}/{name}" for name in names):
                info = Path(path).lstat()
                if info.st_uid in uids and stat.S_ISREG(info.st_mode) and info.st_mode & 0o6000:
                    left.append(path)
    for kind in ("shm", "sem", "msg"):
        rows = [line.split() for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()]
        column = rows[0].index("uid")
        left += [f"{kind} {row[1]}" for row in rows[1:] if int(row[column]) in uids]
    return left


def kept(users: dict[str, int], secrets: list[str]) -> Iterator[str]:
    """Return the files of hostile users that hold secrets of others."""
    words, uids = [secret.encode() for secret in secrets], set(users.values())
    places = ["/tmp", "/var/tmp", "/dev/shm", "/run/user", "/run/lock", "/srv/shared", "/var/lib/gpulab/sessions"]
    for tree in [*places, *(f"/home/{name}" for name in users)]:
        for directory, _, names in os.walk(tree):
            for path in (Path(directory, name) for name in names):
                with contextlib.suppress(OSError):
                    info = path.lstat()
                    own = info.st_uid in uids and stat.S_ISREG(info.st_mode) and 0 < info.st_size < 2**20
                    if own and any(word in path.read_bytes() for word in words):
                        yield str(path)


def units(names: list[str]) -> dict[str, str]:
    """Return state and invocation of services; a restart has a new one."""
    argv = ["systemctl", "show", "--property=Id,ActiveState,InvocationID,NRestarts", *names]
    blocks = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True).stdout.split("\n\n")
    services = (dict(line.split("=", 1) for line in block.splitlines()) for block in blocks)
    return {each.pop("Id"): " ".join(f"{key}={each[key]}" for key in sorted(each)) for each in services}


def main(users: dict[str, int], gone: list[str], services: list[str], secrets: list[str]) -> dict[str, Any]:
    """Return everything that is compared."""
    left = {name: users[name] for name in gone}
    return {
        "files": files(users),
        "outside": outside(users),
        "units": units([*UNITS, *services]),
        "kept": list(kept(users, secrets)),
        "leavers": [f"{name} {pid} {command[:80]}" for name, pid, _, command in processes(left)] + power(left),
    }


if __name__ == "__main__":
    print(json.dumps(main(**json.load(sys.stdin))))  # noqa: T201
