# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits: which ones are rejected, which of several wins, and the properties for systemd."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.plugin_utils.users import limits as user_limits


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"memory": "lots"}, "not a size"),
        ({"memory": "100M"}, "too little"),
        ({"memory": "0%"}, "not within"),
        ({"memory": "150%"}, "not within"),
        ({"memory": "-4G"}, "not a size"),
        ({"cpu": 0}, "too little"),
        ({"cpu": "fast"}, "not a number of cores"),
        ({"cpu": True}, "truth value"),
        ({"cpu": float("nan")}, "too little"),
        ({"tasks": 5}, "too little"),
        ({"tasks": 100.5}, "not a whole number"),
        ({"disk": "50%"}, "not a size"),
        ({"memroy": "4G"}, "memory?"),
        ({"swap": "much"}, "not a size"),
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
    """They give no sentence."""
    assert user_limits.limit_problems(limits) == []


def test_own_limit_wins_then_the_most_generous_group_then_the_default() -> None:
    """Each limit is settled for itself."""
    groups = {
        "small": {"limits": {"cpu": 1, "memory": "2G", "tasks": 100}},
        "large": {"limits": {"cpu": 4, "memory": "1.5G"}},
    }
    account = {"name": "ada", "groups": ["small", "large", "plain"], "limits": {"tasks": 500}}
    found = user_limits.limits_of(account, groups, {"swap": 0, "memory": "80%", "tasks": 8192})
    assert found == {"cpu": 4, "memory": "2G", "swap": 0, "tasks": 500}


def test_unlimited_lifts_a_limit() -> None:
    """It beats every amount, and gives no property."""
    groups = {"open": {"limits": {"memory": "unlimited"}}, "small": {"limits": {"memory": "2G"}}}
    found = user_limits.limits_of({"name": "ada", "groups": ["small", "open"]}, groups, {"memory": "80%", "tasks": 99})
    assert found == {"tasks": 99}


def test_properties_are_what_systemd_reads() -> None:
    """Cores become a quota in percent; disk has no property."""
    found = user_limits.slice_properties({"cpu": 1.5, "memory": "16G", "swap": 0, "tasks": 2000, "disk": "50G"})
    assert found == {"CPUQuota": "150%", "MemoryMax": "16G", "MemorySwapMax": "0", "TasksMax": "2000"}
