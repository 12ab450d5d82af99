# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts and groups of the host."""

from __future__ import annotations

import grp
import pwd
from types import SimpleNamespace
from typing import Any

import pytest
from gpulab_gpud.accounts import Accounts

GROUPS: dict[str, Any] = {
    "users": SimpleNamespace(gr_gid=100, gr_mem=["ada", "zoe"]),
    "admins": SimpleNamespace(gr_gid=101, gr_mem=["boss"]),
    "staff": SimpleNamespace(gr_gid=102, gr_mem=["ada"]),
}
USERS: dict[str, Any] = {
    "root": SimpleNamespace(pw_name="root", pw_uid=0, pw_gid=0),
    "ada": SimpleNamespace(pw_name="ada", pw_uid=1001, pw_gid=1001),
    "bob": SimpleNamespace(pw_name="bob", pw_uid=1002, pw_gid=100),
    "boss": SimpleNamespace(pw_name="boss", pw_uid=1003, pw_gid=1003),
    "hub": SimpleNamespace(pw_name="hub", pw_uid=990, pw_gid=990),
}


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> Accounts:
    """Return the reader; `zoe` is a member from a directory that does not answer now."""
    monkeypatch.setattr(grp, "getgrnam", lambda name: GROUPS[name])
    monkeypatch.setattr(pwd, "getpwnam", lambda name: USERS[name])
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: {entry.pw_uid: entry for entry in USERS.values()}[uid])
    return Accounts("users", "admins", ["staff", "nosuch"], ["hub"])


def test_caller_is_what_the_groups_say(accounts: Accounts) -> None:
    """By the list of members or by the own group of an account."""
    rights = {}
    for name in ("root", "ada", "bob", "boss", "hub"):
        caller = accounts.caller(USERS[name].pw_uid, 5)
        assert caller
        rights[caller.name] = (caller.member, caller.admin, caller.delegate, caller.groups)
    assert rights == {
        "root": (False, True, False, ()),
        "ada": (True, False, False, ("staff",)),
        "bob": (True, False, False, ()),
        "boss": (False, True, False, ()),
        "hub": (False, False, True, ()),
    }
    assert accounts.caller(4711, 5) is None


def test_account_is_read_once_in_some_seconds(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is that of each connection."""
    assert accounts.known(1001, 7) is None
    accounts.caller(1001, 5)
    known = accounts.known(1001, 7)
    assert known
    assert (known.name, known.pid) == ("ada", 7)
    monkeypatch.setattr("gpulab_gpud.accounts.CALLER_SECONDS", 0.0)
    assert accounts.known(1001, 7) is None


def test_only_users_who_left_the_group_are_removed(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the members of a directory that does not answer, not administrators, and none if the group cannot be read."""
    holders = ["ada", "bob", "boss", "root", "zoe", "left"]
    assert accounts.removed(holders) == ["left"]
    monkeypatch.delitem(GROUPS, "users")
    assert accounts.removed(holders) == []


def test_uid_is_kept_while_a_directory_does_not_answer(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Access does not end with it; a name that was never known has none."""
    assert accounts.uid("ada") == 1001
    monkeypatch.delitem(USERS, "ada")
    assert accounts.uid("ada") == 1001
    assert accounts.uid("nosuch") is None
    assert accounts.gids() == {100, 101}
