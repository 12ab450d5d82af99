# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of GPU sharing: which policy a host gets, why, and what cannot work."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import HostFacts

POLICY = "gpu_sharing_policy (gpulab_gpu_sharing)"
SLOTS = "gpu_sharing_slots_per_gpu (gpulab_gpu_slots)"
HOLD = "gpu_sharing_hold_hours (gpulab_gpu_hold_hours)"
CONFIRMATION = "gpu_sharing_confirmation_minutes"
USER_SLOTS = "gpu_sharing_user_slots (gpulab_gpu_user_slots)"
EXPECTED = "gpu_sharing_expected_users (gpulab_gpu_expected_users)"
GROUPS = "gpu_sharing_groups (gpulab_gpu_groups)"
DEVICES = "gpu_sharing_test_devices"
MOST_SLOTS = 64
LONGEST_HOURS = 24 * 365
MODE = 0o660
"""Mode of the device nodes, a parameter of NVIDIA's kernel module."""
DELEGATES = ["gpulab-hub"]
"""Accounts that act for users: the hub, when a server starts and stops."""
NOT_ISOLATED = (
    "It does not isolate memory, faults or bandwidth: users of one GPU can use up its memory and slow each other down."
)
MPS = (
    "NVIDIA's MPS serialises users unless its driver is newer than those of Debian, and one user's fault then ends the "
    "programs of all users of the GPU. Use timeslice or exclusive."
)


@dataclass(frozen=True)
class Group:
    """Limits of a group, as in the role's specification."""

    name: str
    priority: int = 0
    slots: int = 0
    total_slots: int = 0
    hold_hours: float = 0.0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Group:
        """Return the group of an option, whose numbers may be text."""
        numbers = {key: int(values.get(key) or 0) for key in ("priority", "slots", "total_slots")}
        return cls(name=str(values["name"]), hold_hours=float(values.get("hold_hours") or 0), **numbers)


@dataclass(frozen=True)
class SharingOptions:
    """Options of the role that the plan depends on."""

    policy: str = "auto"
    slots_per_gpu: int = 4
    expected_users: int = 0
    hold_hours: float = 8
    confirmation_minutes: float = 15
    user_slots: int = 0
    groups: Sequence[Group] = ()
    member_group: str = "gpulab-users"
    admin_group: str = "gpulab-admins"
    site_groups: Sequence[str] = ()
    """Groups that the site defines; they may not exist on the host yet."""
    test_devices: Sequence[str] = ()


@dataclass(frozen=True)
class SharingPlan:
    """How the GPUs of a host are shared. `problems` are the reasons why it cannot be applied."""

    active: bool = False
    policy: str = "none"
    slots: int = 1
    restricted: bool = True
    """Whether the loaded driver makes its device nodes accessible to root only, or none is loaded."""
    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)


def sharing_plan(
    host: HostFacts, options: SharingOptions, parameters: str, groups: str, missing_devices: Iterable[str]
) -> SharingPlan:
    """Return the plan for a host.

    `parameters` is the text of /proc/driver/nvidia/params, empty without a loaded driver. `groups` is the output of
    `getent group`. `missing_devices` are those test devices that do not exist.
    """
    count = len(host["gpus"]) or len(options.test_devices)
    if options.policy == "mps":
        return SharingPlan(problems=[f"{POLICY}: mps is not supported. {MPS}"])
    if options.policy == "none":
        return SharingPlan(lines=["GPUs are not shared by a broker: every user may open every GPU (policy none)."])
    problems = _number_problems(options)
    if not count:
        return SharingPlan(lines=["This host has no GPU: the broker is not installed."], problems=problems)
    problems += [
        f"{DEVICES}: {path} is not a GPU of this host. Create the device node, or remove it from the list."
        for path in missing_devices
    ]
    members = _members(groups)
    policy, reason = _policy(options, count, len(members.get(options.member_group, ())))
    slots = 1 if policy == "exclusive" else options.slots_per_gpu
    problems += _group_problems(options, count * slots, members)
    restricted = is_restricted(parameters)
    if not restricted and host["processes"] and not host["container"]:
        users = ", ".join(f"{process['user']} {process['name']} {process['pid']}" for process in host["processes"])
        problems.append(
            "The loaded driver lets every user open every GPU. It has to be loaded again with "
            f"NVreg_DeviceFileMode=0660 for {POLICY}: {policy}, and these processes use a GPU (user, program, "
            f"process id): {users}. Wait until they end, or end them."
        )
    lines = [f"GPU sharing: {policy}, {slots} slots on each of {count} GPUs, because {reason}."]
    if policy == "timeslice":
        lines.append(NOT_ISOLATED)
    return SharingPlan(
        active=True,
        policy=policy,
        slots=slots,
        restricted=restricted,
        lines=lines,
        problems=problems,
        config=_config(options, policy, slots, bool(host["gpus"])),
    )


def is_restricted(parameters: str) -> bool:
    """Return whether a driver with these parameters makes nodes of root with the mode 0660; True without a driver."""
    values = dict(re.findall(r"^(DeviceFile\w+): (\d+)", parameters, re.MULTILINE))
    expected = {"DeviceFileUID": 0, "DeviceFileGID": 0, "DeviceFileMode": MODE}
    return not parameters.strip() or all(values.get(name) == str(value) for name, value in expected.items())


def _policy(options: SharingOptions, count: int, members: int) -> tuple[str, str]:
    """Return the policy and the reason for it."""
    if options.policy != "auto":
        return options.policy, f"{POLICY} is {options.policy}"
    users = options.expected_users or max(1, members)
    source = "expected" if options.expected_users else f"in the group {options.member_group}"
    if count >= users:
        return "exclusive", f"there are {count} GPUs for {users} users {source}"
    return "timeslice", f"there are only {count} GPUs for {users} users {source}"


def _members(groups: str) -> dict[str, list[str]]:
    """Return the members by group, of the output of `getent group`."""
    fields = [line.split(":") for line in groups.splitlines() if line.count(":") >= 3]
    return {field[0]: [name for name in field[3].split(",") if name] for field in fields}


def _number_problems(options: SharingOptions) -> list[str]:
    """Report numbers that cannot be used, those of groups included."""
    problems = []
    hours = [(HOLD, options.hold_hours)]
    hours += [
        (f"{_name(index)}.hold_hours", group.hold_hours)
        for index, group in enumerate(options.groups)
        if group.hold_hours
    ]
    for name, value in hours:
        if not 0 < value <= LONGEST_HOURS:
            problems.append(f"{name}: {value:g} is not a time. Write hours, more than 0 and at most {LONGEST_HOURS}.")
    if not 0 < options.confirmation_minutes <= LONGEST_HOURS:
        problems.append(f"{CONFIRMATION}: {options.confirmation_minutes:g} is not a time. Write minutes, more than 0.")
    if not 1 <= options.slots_per_gpu <= MOST_SLOTS:
        problems.append(f"{SLOTS}: {options.slots_per_gpu} is not possible. Write 1 to {MOST_SLOTS}.")
    numbers = [(USER_SLOTS, options.user_slots), (EXPECTED, options.expected_users)]
    for index, group in enumerate(options.groups):
        numbers += [
            (f"{_name(index)}.slots", group.slots),
            (f"{_name(index)}.total_slots", group.total_slots),
            (f"{_name(index)}.priority", group.priority),
        ]
    problems += [f"{name}: {value} is negative. Write 0 or more." for name, value in numbers if value < 0]
    return problems


def _group_problems(options: SharingOptions, slots: int, members: dict[str, list[str]]) -> list[str]:
    """Report unknown groups, groups that are listed twice, and more slots than the host has."""
    problems = []
    known = {*members, *options.site_groups, options.member_group, options.admin_group}
    listed: set[str] = set()
    wanted = [(USER_SLOTS, options.user_slots)]
    for index, group in enumerate(options.groups):
        name = group.name
        if name not in known:
            problems.append(
                f"{_name(index)}.name: {name} is not a group of this host. Add it to gpulab_groups, or correct it."
            )
        if name in listed:
            problems.append(f"{_name(index)}.name: {name} is listed twice. Remove one of them.")
        listed.add(name)
        wanted += [(f"{_name(index)}.slots", group.slots), (f"{_name(index)}.total_slots", group.total_slots)]
    problems += [
        f"{name}: {value} is more than the {slots} slots of this host. Write at most {slots}, or 0 for no limit."
        for name, value in wanted
        if value > slots
    ]
    return problems


def _name(index: int) -> str:
    return f"gpu_sharing_groups[{index}] (gpulab_gpu_groups)"


def _config(options: SharingOptions, policy: str, slots: int, has_gpus: bool) -> dict[str, Any]:
    """Return the configuration file of the broker."""
    groups = {
        group.name: {
            "priority": group.priority,
            "slots": group.slots or options.user_slots,
            "total_slots": group.total_slots,
            "hold_seconds": group.hold_hours * 3600,
        }
        for group in options.groups
    }
    return {
        "policy": policy,
        "slots": slots,
        "hold_seconds": options.hold_hours * 3600,
        "confirmation_seconds": options.confirmation_minutes * 60,
        "user_slots": options.user_slots,
        "groups": groups,
        "users_group": options.member_group,
        "admin_group": options.admin_group,
        "delegates": DELEGATES,
        "devices": [] if has_gpus else list(options.test_devices),
    }
