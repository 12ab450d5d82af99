# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes of a failure of apt: package lists that cannot be updated, processes that hold its locks."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from ansible_collections.gpulab.core.plugins.module_utils.common.addresses import masked

LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
"""Locks of dpkg and apt (apt-get(8), Debian's "APT method interface" locks with fcntl)."""
FLOCK = "hhqqi4x"
"""struct flock of 64-bit Linux (bits/fcntl.h): type, whence, start, length, process."""
UPDATE_SECONDS = 180
"""Time limit of one update of all package lists."""
FAILED = re.compile(
    r"^(?:[EW]|Error|Warning): (?:.*?GPG error: |Failed to fetch |Release file for |The repository '"
    r"|Conflicting values set for option \S+ regarding source )(?P<address>[a-z0-9+]+:[^\s']+)(?P<reason>.*)",
    re.MULTILINE,
)
"""A line of apt-get about a repository that failed; apt 3 writes whole words."""
MALFORMED = re.compile(
    r"^(?:E|Error): (?P<reason>.*?(?P<file>/etc/apt/\S+\.(?:list|sources))(?:[\s:]|$).*)", re.MULTILINE
)
"""A line about a list that apt cannot read; it then reads none of the others either."""
KEY = re.compile(r"EXPKEYSIG|NO_PUBKEY|KEYEXPIRED|REVKEYSIG|signatures? (?:were|could.{1,4} be)|not signed")


def lock_holders(paths: Iterable[str] = LOCKS) -> list[str]:
    """Return the processes that hold a lock, as `process 1234 (command)`, without those of this process."""
    pids = {pid for path in paths if (pid := lock_holder(Path(path)))}
    return [f"process {pid} ({command(pid)})" for pid in sorted(pids)]


def lock_holder(path: Path) -> int:
    """Return the process that holds a file's lock of fcntl(2), 0 where there is none or no such file."""
    try:
        with path.open("rb") as file:
            wanted = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, *_range, pid = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, wanted))
    except OSError:
        return 0
    return 0 if kind == fcntl.F_UNLCK else max(int(pid), 0)


def command(pid: int, proc: Path = Path("/proc")) -> str:
    """Return the program of a process and its first arguments, without logins of addresses."""
    try:
        words = (proc / str(pid) / "cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
        text = " ".join(words).strip() or (proc / str(pid) / "comm").read_text(encoding="utf-8").strip()
    except OSError:
        return "it has ended"
    return masked(text)[:100]


def update_output() -> str:
    """Return the output of an update of all package lists; in English, with a time limit."""
    argv = ["apt-get", "update", "--quiet", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=20"]
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            check=False,
            timeout=UPDATE_SECONDS,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"E: apt-get update: {error}"
    return done.stdout


def failed_lists(output: str, directory: Path = Path("/etc/apt")) -> list[dict[str, str]]:
    """Return the repositories that an update could not read: file of the list, address and reason of each."""
    files = [directory / "sources.list", *sorted((directory / "sources.list.d").glob("*"))]
    texts = {str(path): path.read_text(encoding="utf-8", errors="replace") for path in files if path.is_file()}
    failed: dict[str, dict[str, str]] = {}
    for found in MALFORMED.finditer(output):
        failed[found["file"]] = {"file": found["file"], "address": "", "reason": masked(found["reason"])}
    for found in FAILED.finditer(output):
        parts = urlsplit(found["address"])
        # The path of a list in a repository begins with `dists/`, or follows the address where there are no suites.
        path = re.sub(r"/(?:dists/.*|InRelease|Release|Packages\S*)$", "", parts.path)
        base = f"{parts.scheme}://{parts.netloc}{path}".rstrip("/")
        names = [name for name, text in texts.items() if mentions(text, base)]
        entry = {"file": ", ".join(names), "address": masked(base), "reason": masked(found["reason"].strip(" :'"))}
        failed.setdefault(base, entry)
    return list(failed.values())


def mentions(text: str, address: str) -> bool:
    """Return whether a list has an address that is not commented out, whatever login is written in it."""
    place = re.escape(address.partition("://")[2].rpartition("@")[2])
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return any(re.search(rf"[/@]{place}/?(?:\s|$)", line) for line in lines)


def list_sentence(entry: dict[str, str]) -> str:
    """Return one sentence about a list, with the fix."""
    where = f"{entry['file']} ({entry['address']})" if entry["file"] and entry["address"] else entry["file"]
    fix = "renew its key" if KEY.search(entry["reason"]) else "correct it"
    return f"{where or entry['address']}: {entry['reason'] or 'it cannot be read'}: {fix}, or remove the file"
