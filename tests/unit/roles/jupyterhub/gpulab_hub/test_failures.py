"""Counters of events by client."""

from __future__ import annotations

import pytest
from gpulab_hub.failures import Counter, client_of, neighbourhood_of


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


@pytest.mark.parametrize(
    ("address", "client", "neighbourhood"),
    [
        ("192.0.2.7", "192.0.2.7/32", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.7/32", "192.0.2.0/24"),
        ("127.9.8.7", "127.9.8.7/32", "127.0.0.0/8"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("::1", "::/64", "::/48"),
        ("?", "?", "?"),
    ],
)
def test_client_is_what_one_customer_has(address: str, client: str, neighbourhood: str) -> None:
    """Not a single IPv6 address, of which each has 2^64."""
    assert (client_of(address), neighbourhood_of(address)) == (client, neighbourhood)
