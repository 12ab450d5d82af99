# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The host's record of passwords and last days, shadow(5)."""

from __future__ import annotations

from pathlib import Path

SHADOW = Path("/etc/shadow")


def shadow(text: str) -> dict[str, tuple[str, int | None]]:
    """Read the hash and the day of expiry by name, from the text of such a file."""
    found = {}
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 8:
            found[fields[0]] = (fields[1], int(fields[7]) if fields[7] else None)
    return found
