# SPDX-License-Identifier: GPL-3.0-or-later
"""Users, groups and limits that cannot be applied are rejected with a sentence that names them and the remedy."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.plugin_utils.users.problems import user_problems

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKz82I3VnE8MeuUGAoOhFBakxbHz+0vgUHCdiTE1LjEP ada@laptop"
HASH = "$6$salt$" + "x" * 86


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ({"name": "Ada Lovelace"}, "small letter"),
        ({"name": 1234}, "small letter"),
        ({"name": "../ada"}, "small letter"),
        ({"name": "-ada"}, "small letter"),
        ({"name": ""}, "small letter"),
        ({"name": "ada\u00a0"}, "this one holds no-break space (U+00A0)"),
        ({"name": "ada\u2013b"}, "this one holds en dash (U+2013)"),
        ({"name": "ada\t"}, "this one holds a control character (U+0009)"),
        ({"name": "\ufeffada"}, "(U+FEFF)"),
        ({"name": "ada\n"}, "(U+000A)"),
        ({"name": "a" * 65}, "at most 31"),
        ({"name": "root"}, "account of the system"),
        ({"name": "ada", "password": "hunter2"}, "plain-text"),
        ({"name": "ada", "password_hash": "hunter2"}, "not a crypt hash"),
        ({"name": "ada", "password_hash": "$1$salt$weak"}, "not a crypt hash"),
        ({"name": "ada", "uid": 999}, "belongs to the system"),
        ({"name": "ada", "ssh_keys": [KEY, "ssh-ed25519 AAAA"]}, "SSH key 2"),
        ({"name": "ada", "ssh_keys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]}, "SSH key 1"),
        ({"name": "ada", "expires": "31.3.2027"}, "2027-03-31"),
        ({"name": "ada", "expires": "20270331"}, "2027-03-31"),
        ({"name": "ada", "expires": "2027-W13-3"}, "2027-03-31"),
        ({"name": "ada", "groups": ["Class 2026"]}, "not an acceptable name"),
        ({"name": "ada", "groups": ["class\u20132026"]}, "because it holds en dash (U+2013)"),
        ({"name": "ada", "groups": 2026}, "group '2026' is not an acceptable name"),
        ({"name": "ada", "groups": "class-2026, Class!"}, "group 'Class!'"),
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


@pytest.mark.parametrize("name", ["Grace.Hopper", "grace@lab.example", "1ada", "a" * 32, "grace_hopper-2"])
def test_name_that_a_host_may_have_passes(name: str) -> None:
    """Whether an account or group has it is checked on the host: directories have such names."""
    assert user_problems([{"name": name, "groups": [name]}]) == []


@pytest.mark.parametrize("groups", ["class-2026", "class-2026, staff", "class-2026 staff", ["class-2026"], None, ""])
@pytest.mark.parametrize("keys", [KEY, [KEY], f"{KEY}\r\n{KEY}\r\n", None, ""])
def test_one_text_counts_as_a_list(groups: Any, keys: Any) -> None:
    """One group or one key is often written without brackets, and a lookup gives the text of a file."""
    assert user_problems([{"name": "ada", "groups": groups, "ssh_keys": keys}]) == []


def test_line_break_after_a_hash_is_no_fault() -> None:
    """A vaulted text and a lookup of a file end with one."""
    assert user_problems([{"name": "ada", "password_hash": f"{HASH}\n"}]) == []


def test_last_day_may_be_a_date_of_yaml() -> None:
    """YAML reads 2027-03-31 without quotes as a date."""
    assert user_problems([{"name": "ada", "expires": date(2027, 3, 31)}]) == []


@pytest.mark.parametrize(
    ("ports", "wrong"),
    [([22, "22", "1-1023", 65535], 0), ([0], 1), ([65536], 1), (["ssh"], 1), (["9-1"], 1), (["1-2-3"], 1), ([-1], 1)],
)
def test_ports_out_of_range_are_rejected(ports: list[Any], wrong: int) -> None:
    """The message names the option."""
    found = user_problems([], ports={"users_sshd_ports": ports})
    assert len(found) == wrong
    assert all(problem.startswith("users_sshd_ports: ") for problem in found)


def test_duplicates_are_rejected() -> None:
    """The same name or number twice is a mistake, whichever entry comes last."""
    found = user_problems([{"name": "ada", "uid": 2000}, {"name": "ada", "uid": "2000"}])
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
