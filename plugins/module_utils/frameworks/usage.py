# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a process on this host uses a release."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ansible_collections.gpulab.core.plugins.module_utils.frameworks.layout import last_used_at


def started_at(process: Path, proc: Path) -> float:
    """Return the time at which a process started (proc(5): stat, starttime; stat of the system, btime)."""
    ticks = int((process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
    boot = re.search(r"^btime (\d+)", (proc / "stat").read_text(encoding="ascii"), re.MULTILINE)
    return (int(boot[1]) if boot else 0) + ticks / os.sysconf("SC_CLK_TCK")


def is_in_use(release: Path, current: Path | None = None, proc: Path = Path("/proc")) -> bool:
    """Return whether a running process uses a release.

    It has a file of the release open as code, or names it on its command line; or it was started through the link
    `current` while that pointed to the release, and has loaded nothing of it yet.
    """
    own_path = os.fsencode(f"{release.resolve()}/")
    link_path = os.fsencode(f"{current}/") if current else None
    for process in proc.glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if own_path in command or own_path in (process / "maps").read_bytes():
                return True
            started_through_link = link_path is not None and link_path in command and release.exists()
            if started_through_link and started_at(process, proc) <= last_used_at(release):
                return True
        except OSError:  # the process has ended, or may not be read
            continue
    return False
