# SPDX-License-Identifier: GPL-3.0-or-later
"""Users, groups and limits that cannot be applied are rejected with a sentence that names them and the remedy."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.plugin_utils.users.problems import user_problems

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKz82I3VnE8MeuUGAoOhFBakxbHz+0vgUHCdiTE1LjEP ada@laptop"
HASH = "$6$salt$" + "x" * 86


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ({"name": "Ada"}, "small letter"),
        ({"name": "1ada"}, "small letter"),
        ({"name": "a" * 32}, "at most 31"),
        ({"name": "root"}, "account of the system"),
        ({"name": "ada", "password": "hunter2"}, "plain-text"),
        ({"name": "ada", "password_hash": "hunter2"}, "not a crypt hash"),
        ({"name": "ada", "password_hash": "$1$salt$weak"}, "not a crypt hash"),
        ({"name": "ada", "uid": 999}, "belongs to the system"),
        ({"name": "ada", "ssh_keys": [KEY, "ssh-ed25519 AAAA"]}, "SSH key 2"),
        ({"name": "ada", "ssh_keys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]}, "SSH key 1"),
        ({"name": "ada", "expires": "31.3.2027"}, "2027-03-31"),
        ({"name": "ada", "groups": ["Class 2026"]}, "not an acceptable name"),
    ],
)
def test_unacceptable_user_is_rejected(user: dict[str, Any], words: str) -> None:
    """Each fault gives exactly one sentence with these words in it."""
    found = user_problems([user])
    assert len(found) == 1
    assert words in found[0]


def test_acceptable_user_passes() -> None:
    """A user with every key set right passes."""
    user = {"name": "ada", "uid": 2000, "password_hash": HASH, "ssh_keys": [KEY], "expires": "2027-03-31"}
    assert user_problems([user], ["class-2026"]) == []


def test_duplicates_are_rejected() -> None:
    """The same name or number twice is a mistake, whichever entry comes last."""
    found = user_problems([{"name": "ada", "uid": 2000}, {"name": "ada", "uid": 2000}])
    assert [problem.partition(": ")[2].partition(".")[0] for problem in found] == [
        "user ada is named 2 times",
        "uid 2000 is given to 2 users",
    ]


def test_secrets_are_never_repeated() -> None:
    """A message goes to a terminal and a log; what was taken for a password must not."""
    found = user_problems([{"name": "ada", "password": "hunter2", "password_hash": "hunter3"}])
    assert len(found) == 2
    assert not any("hunter" in problem for problem in found)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"class": 7}, "not a dictionary"),
        ({"class": {"limit": {}}}, "'limit' is not one of limits, gpu, shared_directory"),
        ({"class": {"limits": ["4G"]}}, "not a dictionary"),
        ({"class": {"limits": {"memory": "x"}}}, "group class: limits.memory"),
        ({"class": {"shared_directory": "yes"}}, "not true or false"),
    ],
)
def test_bad_group_is_rejected_by_name(groups: dict[str, Any], words: str) -> None:
    """One sentence each, from the same check as the accounts."""
    found = user_problems([], groups)
    assert len(found) == 1
    assert words in found[0]


def test_misspelt_group_is_rejected() -> None:
    """A user in class-206 would silently miss the limits of class-2026."""
    described = {"class-2026": {"limits": {"cpu": 2}}}
    found = user_problems([{"name": "ada", "groups": ["class-206", "staff"]}], described)
    assert found == [
        "users_groups (gpulab_groups): group class-206 is not described there: did you mean class-2026? "
        "If not, add class-206: {}."
    ]
