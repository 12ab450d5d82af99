# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read requirements files with hashes (lock files). Pure functions."""

from __future__ import annotations

import re

PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)")


def pins(lock: str) -> dict[str, str]:
    """Return the versions that a lock file pins, by package."""
    return {match[1].lower(): match[2] for line in lock.splitlines() if (match := PIN.match(line))}


def one_requirement(lock: str, name: str) -> str:
    """Return the requirement of one package with its hashes, as a lock file of its own."""
    entries = re.split(r"\n(?=[A-Za-z0-9])", lock)
    return next(entry for entry in entries if entry.startswith(name + "==")) + "\n"
