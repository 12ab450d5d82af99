# SPDX-License-Identifier: GPL-3.0-or-later
"""Requested accounts of users with everything that follows from their groups. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from ansible_collections.gpulab.core.plugins.plugin_utils.users.keys import public_keys
from ansible_collections.gpulab.core.plugins.plugin_utils.users.limits import limits_of, slice_properties
from ansible_collections.gpulab.core.plugins.plugin_utils.users.values import group_names


class Account(TypedDict, total=False):
    """An account as module gpulab.core.account_info reads it; optional keys are missing where they are not set."""

    name: str
    groups: list[str]
    uid: int
    password_hash: str
    password_update: str
    password_temporary: bool
    expires: str


class UserPlan(TypedDict):
    """Desired state of one present user; the properties of the slice follow from the limits."""

    name: str
    account: Account
    ssh_keys: list[str]
    limits: dict[str, Any]
    slice: dict[str, str]


def user_plans(
    users: Sequence[Mapping[str, Any]],
    group: str,
    admin_group: str,
    groups: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
) -> list[UserPlan]:
    """Return the plan of each user who is not absent, in the order of the list."""
    return [
        _plan(user, group, admin_group, groups or {}, limits or {})
        for user in users
        if user.get("state", "present") != "absent"
    ]


def _plan(
    user: Mapping[str, Any], group: str, admin_group: str, groups: Mapping[str, Any], defaults: Mapping[str, Any]
) -> UserPlan:
    """Return the plan of one user."""
    limits = limits_of(user, groups, defaults)
    admin = [admin_group] if user.get("admin") else []
    account = Account(name=str(user["name"]), groups=[group, *admin, *group_names(user)])
    if user.get("uid") is not None:
        account["uid"] = user["uid"]
    if user.get("password_hash"):
        account["password_hash"] = str(user["password_hash"]).strip()
        if user.get("password_update", "changed") != "changed":
            account["password_update"] = user["password_update"]
        if user.get("password_temporary"):
            account["password_temporary"] = True
    if user.get("expires"):
        account["expires"] = str(user["expires"])
    return UserPlan(
        name=account["name"],
        account=account,
        ssh_keys=[key.line for key in public_keys(user.get("ssh_keys"))],
        limits=limits,
        slice=slice_properties(limits),
    )
