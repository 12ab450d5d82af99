# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of the login page."""

from __future__ import annotations

import pytest
from gpulab_hub.clients import client_of, neighbourhood_of


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
    """Not a single IPv6 address, of which a customer has 2^64."""
    assert (client_of(address), neighbourhood_of(address)) == (client, neighbourhood)
