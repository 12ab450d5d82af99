# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters of events by client or account in bounded memory, such as wrong passwords by address."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

MOST = 10_000
"""Largest number of keys; the least recently used one is dropped first."""


class Counter:
    """Counts by key, each of which decreases by one every `period` seconds of the monotonic `clock`."""

    def __init__(self, period: float, clock: Callable[[], float], most: int = MOST) -> None:
        self.period, self.clock, self.most = period, clock, most
        self.counts: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def count(self, key: Hashable) -> float:
        """Return the count of a key now."""
        level, at = self.counts.get(key, (0.0, 0.0))
        return max(0.0, level - (self.clock() - at) / self.period) if level else 0.0

    def add(self, key: Hashable, number: float = 1.0) -> None:
        """Add a number, which may be negative, to the count of a key."""
        level = max(0.0, self.count(key) + number)
        self.counts.pop(key, None)
        if level:
            self.counts[key] = (level, self.clock())
        if len(self.counts) > self.most:
            self.counts.popitem(last=False)

    def wait(self, key: Hashable, limit: float) -> float:
        """Return the seconds until one more event stays within a limit; 0 where it does now."""
        return max(0.0, self.count(key) - (limit - 1)) * self.period
