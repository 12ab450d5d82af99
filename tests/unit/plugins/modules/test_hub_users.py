# SPDX-License-Identifier: GPL-3.0-or-later
"""Revoked users of the hub."""

from __future__ import annotations

from ansible_collections.gpulab.core.plugins.modules import hub_users

SHADOW = "ada:$6$x:20000:0:99999:7:::\neve:!:20000:0:99999:7::1:\nnew:*:20000:0:99999:7::21000:\n"


def test_former_members_and_expired_accounts_are_revoked() -> None:
    """Users of the hub who are not members, and members whose last day is over."""
    assert hub_users.expired_accounts(SHADOW, 20999) == {"eve"}
    assert hub_users.expired_accounts(SHADOW, 21000) == {"eve", "new"}
    assert hub_users.revoked_users(["ada", "eve", "old", "new"], ["ada", "eve", "new"], {"eve"}) == ["eve", "old"]
