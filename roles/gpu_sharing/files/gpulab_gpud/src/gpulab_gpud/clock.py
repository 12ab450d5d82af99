# SPDX-License-Identifier: GPL-3.0-or-later
"""The broker's clock: it counts the seconds during which the host is up, and no change of the wall clock moves it."""

from __future__ import annotations

import time
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id(path: Path = BOOT_ID) -> str:
    """Return the identity of the host's current boot."""
    return path.read_text(encoding="ascii").strip()


def uptime() -> float:
    """Return the seconds since boot, with those of suspend; setting the clock does not change them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clock:
    """Continues where the stored clock ended: exactly within a boot, and from the stored time after a restart."""

    def __init__(self, stored: float = 0.0, stored_uptime: float = 0.0, stored_boot: str = "") -> None:
        self.boot = boot_id()
        start = uptime()
        passed = max(0.0, start - stored_uptime) if stored_boot == self.boot else 0.0
        self._offset = stored + passed - start

    def now(self) -> float:
        """Return the time of this clock."""
        return uptime() + self._offset

    def wall(self, at: float) -> float:
        """Return when a time of this clock is on the wall clock, in seconds since the epoch."""
        return time.time() + at - self.now()
