# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired state of each user: groups, keys and limits together."""

from __future__ import annotations

from datetime import date

from ansible_collections.gpulab.core.plugins.plugin_utils.users.accounts import user_plans

GROUPS = {"class": {"limits": {"memory": "2G"}}, "plain": None}


def test_plan_has_all_groups_and_the_limits_that_hold() -> None:
    """Administrators are in both groups of the role, and keys that are not set are missing."""
    user = {"name": "ada", "admin": True, "groups": ["class", "plain"], "ssh_keys": [" key "]}
    assert user_plans([user], "lab", "admins", GROUPS, {"memory": "80%", "disk": "5G"}) == [
        {
            "name": "ada",
            "account": {"name": "ada", "groups": ["lab", "admins", "class", "plain"]},
            "ssh_keys": ["key"],
            "limits": {"memory": "2G", "disk": "5G"},
            "slice": {"MemoryMax": "2G"},
        }
    ]


def test_absent_user_has_no_plan() -> None:
    """The access of such a user is revoked."""
    plans = user_plans([{"name": "eve", "state": "absent"}, {"name": "ada", "state": "present"}], "lab", "admins")
    assert [plan["name"] for plan in plans] == ["ada"]


def test_text_stands_for_a_list() -> None:
    """Groups with commas between them, and a file of keys; the limits of the groups hold."""
    user = {
        "name": "ada",
        "groups": "class, plain",
        "ssh_keys": "# one\r\nkey-a\r\nkey-b\r\n",
        "password_hash": "$6$x\n",
    }
    plan = user_plans([user], "lab", "admins", GROUPS)[0]
    assert plan["account"] == {"name": "ada", "groups": ["lab", "class", "plain"], "password_hash": "$6$x"}
    assert plan["ssh_keys"] == ["key-a", "key-b"]
    assert plan["limits"] == {"memory": "2G"}


def test_account_has_the_keys_that_are_set() -> None:
    """A day without quotes is a date in YAML."""
    user = {"name": "ada", "uid": 2001, "password_hash": "$6$x", "expires": date(2027, 3, 31)}
    account = user_plans([user], "lab", "admins")[0]["account"]
    assert account == {
        "name": "ada",
        "groups": ["lab"],
        "uid": 2001,
        "password_hash": "$6$x",
        "expires": "2027-03-31",
    }
