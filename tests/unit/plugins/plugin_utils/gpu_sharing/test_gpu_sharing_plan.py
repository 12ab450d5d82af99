# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of GPU sharing: the choice of auto, the broker's configuration, and what is rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from gpulab_gpud import config

from ansible_collections.gpulab.core.plugins.filter import gpu_sharing
from ansible_collections.gpulab.core.plugins.plugin_utils.gpu_sharing.plan import (
    Group,
    SharingOptions,
    SharingPlan,
    is_restricted,
    sharing_plan,
)
from tests.unit.plugins.plugin_utils.driver.driver_hosts import host

GROUPS = "root:x:0:\ngpulab-users:x:990:ada,bob,eve\nstaff:x:1001:eve\n"
OPEN = "ModifyDeviceFiles: 1\nDeviceFileUID: 0\nDeviceFileGID: 0\nDeviceFileMode: 438\n"
RESTRICTED = OPEN.replace("438", "432")
PROCESS = {"user": "ada", "name": "python", "pid": 42}


def plan(
    *ids: str, parameters: str = "", processes: Any = (), container: str = "", missing: Any = (), **options: Any
) -> SharingPlan:
    """Return the plan for a host with some GPUs."""
    options["groups"] = [Group.of(group) for group in options.get("groups", ())]
    facts = host(*ids, processes=list(processes), container=container)
    return sharing_plan(facts, SharingOptions(**options), parameters, GROUPS, missing)


@pytest.mark.parametrize(
    ("gpus", "expected", "policy", "slots", "reason"),
    [
        (3, 0, "exclusive", 1, "3 GPUs for 3 users in the group gpulab-users"),
        (2, 0, "timeslice", 4, "only 2 GPUs for 3 users in the group gpulab-users"),
        (2, 2, "exclusive", 1, "2 GPUs for 2 users expected"),
        (8, 20, "timeslice", 4, "only 8 GPUs for 20 users expected"),
    ],
)
def test_auto_compares_gpus_and_users(gpus: int, expected: int, policy: str, slots: int, reason: str) -> None:
    """And prints the reason, and what the policy does not protect against."""
    chosen = plan(*["20b0"] * gpus, expected_users=expected)
    assert (chosen.active, chosen.policy, chosen.slots) == (True, policy, slots)
    assert reason in chosen.lines[0]
    assert ("does not isolate memory" in " ".join(chosen.lines)) == (policy == "timeslice")


def test_host_without_a_gpu_gets_nothing() -> None:
    """One line says so; test devices count as GPUs."""
    assert plan() == SharingPlan(lines=["This host has no GPU: the broker is not installed."])
    assert plan(test_devices=["/dev/nvidia0"]).config["devices"] == ["/dev/nvidia0"]
    assert plan("20b0", test_devices=["/dev/nvidia0"]).config["devices"] == []


def test_policy_none_is_not_active() -> None:
    """The role removes an earlier broker then."""
    chosen = plan("20b0", policy="none")
    assert not chosen.active
    assert "every user may open every GPU" in chosen.lines[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "mps"}, "gpu_sharing_policy (gpulab_gpu_sharing): mps is not supported. NVIDIA's MPS serialises"),
        ({"hold_hours": 0}, "gpu_sharing_hold_hours (gpulab_gpu_hold_hours): 0 is not a time"),
        ({"hold_hours": -3}, "-3 is not a time"),
        ({"confirmation_minutes": -1}, "gpu_sharing_confirmation_minutes: -1 is not a time"),
        ({"slots_per_gpu": 65}, "gpu_sharing_slots_per_gpu (gpulab_gpu_slots): 65 is not possible"),
        ({"user_slots": -1}, "gpu_sharing_user_slots (gpulab_gpu_user_slots): -1 is negative"),
        ({"user_slots": 9}, "9 is more than the 8 slots of this host"),
        ({"groups": [{"name": "nosuch"}]}, "gpu_sharing_groups[0] (gpulab_gpu_groups).name: nosuch is not a group"),
        ({"groups": [{"name": "staff"}, {"name": "staff"}]}, "staff is listed twice"),
        (
            {"groups": [{"name": "staff", "total_slots": 9}]},
            "gpu_sharing_groups[0] (gpulab_gpu_groups).total_slots: 9 is more",
        ),
        ({"groups": [{"name": "staff", "hold_hours": -1}]}, "hold_hours: -1 is not a time"),
        ({"missing": ["/dev/nvidia7"]}, "gpu_sharing_test_devices: /dev/nvidia7 is not a GPU of this host"),
    ],
)
def test_option_that_cannot_work_is_rejected(options: dict[str, Any], message: str) -> None:
    """With the option, its site variable and the value."""
    assert any(message in problem for problem in plan("20b0", "20b0", **{"policy": "timeslice", **options}).problems)


def test_groups_of_the_site_need_not_exist_yet() -> None:
    """The same run creates them."""
    assert plan("20b0", groups=[{"name": "course"}], site_groups=["course"]).problems == []


@pytest.mark.parametrize(
    ("parameters", "restricted"), [("", True), (RESTRICTED, True), (OPEN, False), ("Other: 1\n", False)]
)
def test_mode_of_the_loaded_driver_is_read(parameters: str, restricted: bool) -> None:
    """A decimal number; a host without a loaded driver gets the parameters with it."""
    assert is_restricted(parameters) is restricted


def test_driver_in_use_that_has_to_be_loaded_again_is_rejected() -> None:
    """It names the processes; without any, the role loads it again."""
    problems = plan("20b0", parameters=OPEN, processes=[PROCESS]).problems
    assert "NVreg_DeviceFileMode=0660" in problems[0]
    assert "ada python 42" in problems[0]
    assert plan("20b0", parameters=OPEN).problems == []
    assert plan("20b0", parameters=RESTRICTED, processes=[PROCESS]).problems == []
    assert plan("20b0", parameters=OPEN, processes=[PROCESS], container="lxc").problems == []


def test_broker_reads_the_configuration_of_the_plan() -> None:
    """Both sides know the same keys."""
    groups = [
        {"name": "staff", "priority": 2, "slots": 3, "hold_hours": 1.5},
        {"name": "gpulab-users", "total_slots": 4},
    ]
    chosen = plan("20b0", "20b0", policy="timeslice", hold_hours=2, user_slots=1, groups=groups)
    assert chosen.problems == []
    read = config.parse(chosen.config)
    assert (read.policy.name, read.policy.slots, read.policy.hold) == ("timeslice", 4, 7200)
    staff, users = read.policy.groups["staff"], read.policy.groups["gpulab-users"]
    assert (staff.priority, staff.slots, staff.total_slots, staff.hold) == (2, 3, None, 5400)
    assert (users.slots, users.total_slots, users.hold) == (1, 4, None)
    assert read.policy.default.slots == 1
    assert read.delegates == {"gpulab-hub"}


def test_filter_reads_text_and_is_documented() -> None:
    """An INI inventory has numbers as text; the page has the keys of the result."""
    filter_ = gpu_sharing.FilterModule().filters()["gpu_sharing_plan"]
    chosen = filter_(
        host("20b0", processes=[]),
        {"policy": "timeslice", "slots_per_gpu": "3", "hold_hours": "1.5", "groups": [{"name": "staff", "slots": "1"}]},
    )
    assert chosen["config"]["hold_seconds"] == 5400
    text = Path(gpu_sharing.__file__).with_name("gpu_sharing_plan.yml").read_text(encoding="utf-8")
    assert set(yaml.safe_load(text)["RETURN"]["_value"]["contains"]) == set(chosen)
