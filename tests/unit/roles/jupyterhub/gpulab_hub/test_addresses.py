# SPDX-License-Identifier: GPL-3.0-or-later
"""Loopback addresses of users' servers."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from gpulab_hub.addresses import address_of
from hypothesis import given
from hypothesis import strategies as st


@given(st.sets(st.integers(1000, 2**32 - 2), min_size=2, max_size=20))
def test_no_two_users_share_an_address(tmp_path_factory: pytest.TempPathFactory, uids: set[int]) -> None:
    """Whatever their uids are; and an address once assigned stays."""
    assigned = tmp_path_factory.mktemp("addresses") / "addresses.json"
    first = {uid: address_of(uid, assigned) for uid in uids}
    assert len(set(first.values())) == len(uids)
    assert first == {uid: address_of(uid, assigned) for uid in sorted(uids)}
    for address in map(IPv4Address, first.values()):
        assert address in IPv4Network("127.0.0.0/8")
        assert address not in IPv4Network("127.0.0.0/24")


def test_system_accounts_have_no_address(tmp_path: Path) -> None:
    """Their servers would be on the addresses of the host's own services."""
    for uid in (0, 1, 999):
        with pytest.raises(ValueError, match="system"):
            address_of(uid, tmp_path / "addresses.json")
