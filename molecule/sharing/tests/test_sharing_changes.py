# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of the options on a host with grants, bad options, and the removal."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.sharing import DENIED, REACHED, SharingHost


def test_upgrade_and_other_options_keep_all_grants(lab: SharingHost) -> None:
    """The broker restarts; fewer slots keep the oldest grants only."""
    for user in ("ada", "bob"):
        lab.output(user, "gpulab gpu request --gpus 2")
    number = lab.output("root", "systemctl show --property MainPID gpulab-gpud")
    done = lab.apply(gpu_sharing_slots_per_gpu=3, gpu_sharing_hold_hours=2)
    assert done.code == 0, done.output
    assert lab.output("root", "systemctl show --property MainPID gpulab-gpud") != number
    assert lab.holders() == {"nvidia0": ["ada", "bob"], "nvidia1": ["ada", "bob"]}
    done = lab.apply(gpu_sharing_policy="exclusive")
    assert done.code == 0, done.output
    assert lab.holders() == {"nvidia0": ["ada"], "nvidia1": ["ada"]}
    assert DENIED in lab.opens("bob")
    assert lab.apply().code == 0


def test_auto_prints_its_choice_and_what_it_does_not_protect_against(lab: SharingHost) -> None:
    """Three users for two GPUs."""
    text = lab.play("molecule/sharing/apply.yml", "--check", **_auto()).text
    assert "timeslice, 4 slots on each of 2 GPUs, because there are only 2 GPUs for 3 users" in text
    assert "does not isolate memory" in text
    text = lab.play("molecule/sharing/apply.yml", "--check", **_auto(gpu_sharing_expected_users=2)).text
    assert "exclusive, 1 slots on each of 2 GPUs, because there are 2 GPUs for 2 users expected" in text


def _auto(**options: Any) -> dict[str, Any]:
    return {"gpu_sharing_test_devices": ["/dev/nvidia0", "/dev/nvidia1"], **options}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpu_sharing_policy": "mps"}, "mps is not supported. NVIDIA's MPS serialises users"),
        ({"gpu_sharing_test_devices": ["/dev/nvidia0", "/dev/nvidia7"]}, "/dev/nvidia7 is not a GPU of this host"),
        ({"gpu_sharing_user_slots": 5}, "5 is more than the 4 slots of this host"),
        ({"gpu_sharing_groups": [{"name": "nosuch"}]}, "nosuch is not a group of this host"),
        ({"gpu_sharing_groups": [{"name": "staff-lab", "slots": 9}]}, "9 is more than the 4 slots"),
        ({"gpu_sharing_groups": [{"name": "staff-lab", "hold_hours": -1}]}, "hold_hours: -1 is not a time"),
        ({"gpu_sharing_hold_hours": -2}, "-2 is not a time"),
        ({"gpu_sharing_slots_per_gpu": 0}, "0 is not possible"),
    ],
)
def test_bad_option_is_rejected_and_nothing_changes(lab: SharingHost, options: dict[str, Any], message: str) -> None:
    """With the option, the value and the remedy, before anything is changed."""
    done = lab.apply(**options)
    assert done.code != 0
    assert message in done.text.replace("''", "'")
    assert done.changed == 0


def test_removal_restores_the_host(lab: SharingHost) -> None:
    """The nodes have their earlier access; a second run changes nothing; a later installation starts without grants."""
    lab.output("ada", "gpulab gpu request")
    try:
        done = lab.apply(gpu_sharing_policy="none")
        assert done.code == 0, done.output
        for user in ("ada", "bob"):
            assert REACHED in lab.opens(user)
        assert lab.output("root", "stat --format '%a %U %G' /dev/nvidia0").strip() == "666 root root"
        assert lab.output("root", "getfacl --omit-header --absolute-names --skip-base /dev/nvidia0").strip() == ""
        assert "No such file" in lab.output("root", "ls /opt/gpulab/gpud /etc/gpulab/gpu.json")
        assert "shares no GPUs" in lab.output("ada", "gpulab top")
        assert lab.apply(gpu_sharing_policy="none").changed == 0
    finally:
        assert lab.apply().code == 0
    assert lab.holders() == {"nvidia0": [], "nvidia1": []}
    assert DENIED in lab.opens("ada")


def test_restart_of_the_host_keeps_grants_and_access(lab: SharingHost) -> None:
    """The device nodes are new, and the broker sets the access to them again before users log in."""
    lab.output("ada", "gpulab gpu request --gpus 2 --whole")
    lab.output("bob", "gpulab gpu request")
    before = lab.state()
    lab.restart()
    after = lab.state()
    for kind in ("grants", "waiting"):
        assert [(entry["id"], entry["user"]) for entry in after[kind]] == [
            (entry["id"], entry["user"]) for entry in before[kind]
        ]
    assert after["grants"][0]["until"] >= before["grants"][0]["until"] - 5, "the time off does not count"
    assert REACHED in lab.opens("ada")
    assert DENIED in lab.opens("bob")
