"""Keeps floods of the hub's log from pushing out its lines about logins: journald drops without a choice."""

from __future__ import annotations

import logging
import time

from gpulab_hub.failures import Counter

PREFIX = "Login"
"""How lines about logins begin (gpulab_hub.authenticator); these are always written."""
RATE, BURST = 100, 1000
"""Other lines per second, and at once. journald accepts more of the hub's unit (LogRateLimitBurst=)."""


class FloodFilter(logging.Filter):
    """Lets lines about logins and errors of level CRITICAL pass, and of all others as many as RATE and BURST allow."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = Counter(1 / RATE, time.monotonic)
        self.dropped = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is written; the next one that is names the number of those that were not."""
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
