"""Limits: what is rejected, which of several settings wins, what systemd is told."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.modules import user_slices
from ansible_collections.gpulab.core.plugins.plugin_utils import site_variables, user_limits


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"memory": "lots"}, "no size"),
        ({"memory": "100M"}, "too little"),
        ({"memory": "0%"}, "not within"),
        ({"memory": "150%"}, "not within"),
        ({"memory": "-4G"}, "no size"),
        ({"cpu": 0}, "too little"),
        ({"cpu": "fast"}, "no number of cores"),
        ({"cpu": True}, "truth value"),
        ({"cpu": float("nan")}, "too little"),
        ({"tasks": 5}, "too little"),
        ({"tasks": 100.5}, "whole number"),
        ({"disk": "50%"}, "no size"),
        ({"memroy": "4G"}, "memory?"),
        ({"swap": "much"}, "no size"),
    ],
)
def test_impossible_limit_is_rejected(limits: dict[str, Any], words: str) -> None:
    """Each gives one sentence that names the limit."""
    found = user_limits.limit_problems(limits)
    assert len(found) == 1
    assert words in found[0]
    assert next(iter(limits)) in found[0]


@pytest.mark.parametrize(
    "limits",
    [{}, {"cpu": 0.5, "memory": "16G", "swap": 0, "tasks": 2000, "disk": "50G"}, {"memory": "80%", "swap": "0%"},
     {"cpu": "unlimited", "memory": None}],
)  # fmt: skip
def test_possible_limits_pass(limits: dict[str, Any]) -> None:
    """Nothing is said about them."""
    assert user_limits.limit_problems(limits) == []


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"class": 7}, "no dictionary"),
        ({"class": {"limit": {}}}, "'limit' is none of limits, gpu, shared_directory"),
        ({"class": {"limits": ["4G"]}}, "no dictionary"),
        ({"class": {"limits": {"memory": "x"}}}, "group class: limits.memory"),
        ({"class": {"shared_directory": "yes"}}, "true or false"),
    ],
)
def test_bad_group_is_rejected_by_name(groups: dict[str, Any], words: str) -> None:
    """One sentence each, from the same check as the accounts."""
    found = site_variables.user_problems([], groups)
    assert len(found) == 1
    assert words in found[0]


def test_slip_of_the_pen_in_a_group_is_rejected() -> None:
    """Somebody in class-206 would silently miss what class-2026 may."""
    described = {"class-2026": {"limits": {"cpu": 2}}}
    found = site_variables.user_problems([{"name": "ada", "groups": ["class-206", "staff"]}], described)
    assert found == ["group class-206 is not described in gpulab_groups: did you mean class-2026?"]


def test_own_setting_wins_then_the_most_generous_group_then_everybodys() -> None:
    """Each limit is settled for itself."""
    groups = {
        "small": {"limits": {"cpu": 1, "memory": "2G", "tasks": 100}},
        "large": {"limits": {"cpu": 4, "memory": "1.5G"}},
    }
    account = {"name": "ada", "groups": ["small", "large", "plain"], "limits": {"tasks": 500}}
    found = user_limits.limits_of(account, groups, {"swap": 0, "memory": "80%", "tasks": 8192})
    assert found == {"cpu": 4, "memory": "2G", "swap": 0, "tasks": 500}


def test_unlimited_lifts_a_limit() -> None:
    """It beats every amount, and is no property in the end."""
    groups = {"open": {"limits": {"memory": "unlimited"}}, "small": {"limits": {"memory": "2G"}}}
    found = user_limits.limits_of({"name": "ada", "groups": ["small", "open"]}, groups, {"memory": "80%", "tasks": 99})
    assert found == {"tasks": 99}


def test_properties_are_what_systemd_reads() -> None:
    """Cores become a quota in percent; disk is no matter of slices."""
    found = user_limits.slice_properties({"cpu": 1.5, "memory": "16G", "swap": 0, "tasks": 2000, "disk": "50G"})
    assert found == {"CPUQuota": "150%", "MemoryMax": "16G", "MemorySwapMax": "0", "TasksMax": "2000"}


def test_slices_follow_the_settings_of_one_owner(tmp_path: Any) -> None:
    """A drop-in per user; those of users who are not named any more go, other owners' stay."""
    users = tmp_path / "users"
    requested = [{"name": "ada", "properties": {"TasksMax": "99"}}, {"name": "new", "properties": {}}]
    files, missing = user_slices.wanted(requested, {"ada": 1001, "eve": 1002}, "lab", tmp_path, users)
    assert missing == ["new"]
    user_slices.write(files, [])
    other, _ = user_slices.wanted([{"name": "ada"}], {"ada": 1001}, "other", tmp_path, users)
    user_slices.write(other, [])
    text = (tmp_path / "user-1001.slice.d" / "50-lab.conf").read_text()
    assert "TasksMax=99\n" in text
    assert sorted(path.name for path in users.iterdir()) == ["1001.lab", "1001.other"]
    assert user_slices.there("lab", tmp_path, users) == files
    user_slices.write({}, list(files))
    assert user_slices.there("lab", tmp_path, users) == {}
    assert user_slices.there("other", tmp_path, users) == other
