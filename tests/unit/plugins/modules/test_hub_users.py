# SPDX-License-Identifier: GPL-3.0-or-later
"""Revoked users of the hub."""

from __future__ import annotations

import os
import pwd

import pytest

from ansible_collections.gpulab.core.plugins.modules import hub_users

SHADOW = "ada:$6$x:20000:0:99999:7:::\neve:!:20000:0:99999:7::1:\nnew:*:20000:0:99999:7::21000:\n"


def test_former_members_and_expired_accounts_are_revoked() -> None:
    """Users of the hub who are not members, and members whose last day is over."""
    assert hub_users.expired_accounts(SHADOW, 20999) == {"eve"}
    assert hub_users.expired_accounts(SHADOW, 21000) == {"eve", "new"}
    assert hub_users.revoked_users(["ada", "eve", "old", "new"], ["ada", "eve", "new"], {"eve"}) == ["eve", "old"]


def entry(name: str, uid: int) -> pwd.struct_passwd:
    """Return an account whose own group has its number."""
    return pwd.struct_passwd((name, "x", uid, uid, "", "/", "/bin/sh"))


def test_members_are_queried_for_each_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory does not list the members of its groups."""
    entries = {name: entry(name, uid) for name, uid in (("ada", 1001), ("noether", 70001), ("eve", 990))}
    groups = {"ada": [990, 1001], "noether": [70001], "eve": [990]}
    monkeypatch.setattr(os, "getgrouplist", lambda name, _gid: groups[name])
    assert hub_users.members_of(990, entries) == {"ada", "eve"}


def test_users_of_a_directory_that_seems_to_be_down_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where it knows another user, and not on a host without a directory."""
    monkeypatch.setattr(hub_users, "local_names", lambda _path: frozenset({"ada"}))
    monkeypatch.setattr(hub_users, "services", lambda: ("sss",))
    local, other = {"ada": entry("ada", 1001)}, {"hopper": entry("hopper", 70002)}
    assert hub_users.unanswered(["ada", "noether"], local) == {"noether"}
    assert hub_users.unanswered(["ada", "noether", "hopper"], {**local, **other}) == set()
    monkeypatch.setattr(hub_users, "services", tuple)
    assert hub_users.unanswered(["ada", "noether"], local) == set()
