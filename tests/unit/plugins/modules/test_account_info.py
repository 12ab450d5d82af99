# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of a host with the requested accounts: passwords to set, the record, and this run's own session."""

from __future__ import annotations

import json
import pwd
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.common.shadow import Record as ShadowRecord
from ansible_collections.gpulab.core.plugins.module_utils.users import memberships
from ansible_collections.gpulab.core.plugins.module_utils.users.accounts import Host
from ansible_collections.gpulab.core.plugins.module_utils.users.memberships import Group
from ansible_collections.gpulab.core.plugins.modules import account_info


def a_host(**fields: str) -> Host:
    """Return a host with these accounts and password fields; all are in the group lab, which is eve's own group."""
    names = sorted(fields)
    gids = {name: 1100 if name == "eve" else uid for uid, name in enumerate(names, 1001)}
    return Host(
        {
            name: pwd.struct_passwd((name, "x", uid, gids[name], "", f"/home/{name}", "/bin/bash"))
            for uid, name in enumerate(names, 1001)
        },
        {"lab": Group(1100, frozenset(names))},
        {"lab": frozenset(names)},
        {name: ShadowRecord(field) for name, field in fields.items()},
    )


def account(name: str, **more: Any) -> dict[str, Any]:
    """Return a requested account as the module's arguments have it."""
    passwords = {"password_hash": None, "password_update": "changed", "password_temporary": False}
    return {"name": name, "groups": ["lab"], "expires": None, **passwords, **more}


def test_groups_without_members_are_requested_too() -> None:
    """The members that such a group has are revoked."""
    found = account_info.requested_members([account("ada", groups=["lab", "class"])], ["lab", "empty"])
    assert found == {"lab": {"ada"}, "class": {"ada"}, "empty": set()}


def test_new_hash_is_recorded_after_it_is_set() -> None:
    """A run that is interrupted between the two sets it again."""
    digest = memberships.digest
    known = memberships.Record(passwords={"ada": digest("$6$old"), "joe": digest("$6$joe")})
    requested = [account("ada", password_hash="$6$new"), account("joe", password_hash="$6$joe")]
    found = account_info.compare_passwords(requested, a_host(ada="$6$old", joe="$6$own"), known, frozenset())
    assert found.new == ["ada"]
    assert found.before == {"ada": digest("$6$old"), "joe": digest("$6$joe")}
    assert found.after == {"ada": digest("$6$new"), "joe": digest("$6$joe")}
    assert found.warnings == []


def test_password_of_a_user_before_the_record_is_kept_with_a_warning() -> None:
    """It may be the user's own."""
    requested = [account("ada", password_hash="$6$new")]
    found = account_info.compare_passwords(requested, a_host(ada="$6$own"), memberships.Record(), frozenset({"ada"}))
    assert found.new == []
    assert "ada: the password on the host is not the one of the inventory" in found.warnings[0]


def test_choice_of_the_user_decides_about_an_own_password() -> None:
    """With on_create an existing password stays, with always the configured one comes back."""
    updates = {"ada": "on_create", "joe": "always", "sue": "changed", "new": "on_create", "ivy": "always"}
    requested = [account(name, password_hash=f"$6${name}", password_update=update) for name, update in updates.items()]
    host = a_host(ada="$6$own", joe="$6$own", sue="$6$own", new="!", ivy="!$6$ivy")
    known = memberships.Record(passwords={name: memberships.digest(f"$6${name}") for name in ("joe", "sue", "ivy")})
    assert account_info.compare_passwords(requested, host, known, frozenset()).new == ["joe", "new"]
    before = account_info.compare_passwords(requested, host, memberships.Record(), frozenset(updates))
    assert [warning.partition(":")[0] for warning in before.warnings] == ["sue"]


def test_temporary_password_must_be_changed_until_it_is() -> None:
    """Also after a run that was interrupted; a password that the user chose is never touched."""
    host = a_host(ada="$6$own", joe="$6$start", sue="$6$start", eve="!", zoe="$6$start")
    host.shadow.update(joe=ShadowRecord("$6$start", 20000), sue=ShadowRecord("$6$start", 0))
    requested = [
        account(name, password_hash="$6$start", password_temporary=True) for name in ("ada", "joe", "sue", "eve")
    ]
    requested.append(account("zoe", password_hash="$6$start"))
    assert account_info.temporary_passwords(requested, host, ["eve"]) == ["joe", "eve"]


def test_own_group_that_is_one_of_the_roles_is_reported() -> None:
    """The account cannot be removed from it."""
    host = a_host(ada="!", eve="!")
    assert "usermod --gid GROUP eve" in account_info.primary_group_warnings(host, {"lab"}, {"lab": {"ada"}})[0]
    assert account_info.primary_group_warnings(host, {"lab"}, {"lab": {"eve"}}) == []


def test_run_does_not_close_its_own_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session would end with it; a session with a revoked group is reported instead of ended."""
    host = a_host(ada="!", eve="!")
    monkeypatch.setattr(account_info, "ancestors", lambda _pid: {1001})
    assert "logged in as ada. Connect as another account" in account_info.own_session(host, ["ada"], set(), True)[0]
    problem, spared, warnings = account_info.own_session(host, ["ada", "eve"], {"ada", "eve"}, False)
    assert (problem, spared) == ("", ["ada"])
    assert warnings == ["ada: this run's own session still holds a revoked group. Log out, and run again."]


def test_record_is_written_only_where_it_changes(tmp_path: Path) -> None:
    """Before the changes it has the old and the new members, afterwards the new ones."""
    path, requested = tmp_path / "lab.json", {"lab": {"ada"}}
    host = {"lab": Group(1100, frozenset({"ada", "eve"}))}
    known = memberships.Record(set(), {"lab": {"ada", "eve"}})
    path.write_text(known.text())
    plan = memberships.plan(known, requested, host, ["lab"], {})
    none = account_info.Passwords([], {}, {}, [])
    texts = account_info.record_texts(path, known, plan, requested, none, {})
    assert texts["before"] is None
    assert json.loads(texts["after"] or "")["members"] == {"lab": ["ada"]}
    path.write_text(texts["after"] or "")
    known = memberships.Record(set(), {"lab": {"ada"}})
    plan = memberships.plan(known, requested, {"lab": Group(1100, frozenset({"ada"}))}, ["lab"], {})
    assert account_info.record_texts(path, known, plan, requested, none, {}) == {"before": None, "after": None}


def test_expiry_set_by_hand_is_kept_with_a_warning() -> None:
    """A day that the inventory changed is set."""
    host = a_host(ada="!", eve="!", joe="!")
    host = Host(
        host.accounts,
        host.groups,
        host.members,
        {"ada": ShadowRecord("!", expires=1), "eve": ShadowRecord("!", expires=1), "joe": ShadowRecord("!")},
    )
    record = memberships.Record(members={"lab": {"ada", "eve", "joe"}}, expires={"ada": None, "eve": 9, "joe": None})
    requested = [account("ada"), account("eve"), account("joe", expires="1970-01-05")]
    found = account_info.compare_expiries(requested, host, record, "lab")
    assert (found.kept, found.new) == (["ada"], ["eve", "joe"])
    assert found.after == {"ada": None, "eve": None, "joe": 5}
    assert "ada: the account expires on 1970-01-02, which was set on the host and is kept" in found.warnings[0]


def test_lock_by_hand_is_reported() -> None:
    """SSH keys still open the account."""
    found = account_info.lock_warnings(["ada", "eve"], a_host(ada="!$6$x", eve="!"))
    assert len(found) == 1
    assert "ada: the password is locked on the host and stays locked. SSH keys still open the account" in found[0]
