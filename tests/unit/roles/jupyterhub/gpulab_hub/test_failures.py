# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters of events."""

from __future__ import annotations

import pytest
from gpulab_hub.failures import Counter


class Clock:
    """A clock that moves when something sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        self.now += seconds


def test_counts_go_down_and_stay_few() -> None:
    """By time that a step of the host's clock does not change; the oldest are dropped."""
    clock = Clock()
    counter = Counter(10.0, clock, most=100)
    counter.add("ada", 3)
    clock.now += 15
    assert counter.count("ada") == pytest.approx(1.5)
    assert counter.wait("ada", 2) == pytest.approx(5)
    assert counter.wait("ada", 3) == 0
    for number in range(1000):
        counter.add(number)
    assert len(counter.counts) == 100
    assert counter.count("ada") == 0
    counter.add(999, -1)
    assert len(counter.counts) == 99
