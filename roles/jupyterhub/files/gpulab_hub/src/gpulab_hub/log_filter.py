# SPDX-License-Identifier: GPL-3.0-or-later
"""Log filter that drops lines of a flood, but none about logins; journald would drop any line."""

from __future__ import annotations

import logging
import time

from gpulab_hub.failures import Counter

PREFIX = "Login"
"""First word of lines about logins (gpulab_hub.authenticator), which are always written."""
RATE, BURST = 100, 1000
"""Largest number of other lines per second, and at once. journald accepts more of the unit (LogRateLimitBurst=)."""


class FloodFilter(logging.Filter):
    """Pass lines about logins and of level CRITICAL, and as many others as RATE and BURST allow."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = Counter(1 / RATE, time.monotonic)
        self.dropped = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is written; the next written line gives the number of dropped lines."""
        if str(record.msg).startswith(PREFIX) or record.levelno >= logging.CRITICAL:
            return True
        if self.lines.count(None) >= BURST:
            self.dropped += 1
            return False
        self.lines.add(None)
        if self.dropped:
            record.msg = f"({self.dropped} lines were dropped before this one) {record.msg}"
            self.dropped = 0
        return True
