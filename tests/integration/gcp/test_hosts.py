# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts: names, connection, variables, groups."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from tests.integration.gcp.fakecloud import FakeCloud, Project
from tests.integration.gcp.fakecloud.world import add_instance
from tests.integration.gcp.harness import Inventory

BASE = "https://www.googleapis.com/compute/v1/projects/lab"
PLAIN: dict[str, Any] = {"guestAccelerators": None, "status": "RUNNING", "tags": None}


def _machine(zone: str, name: str) -> str:
    return f"{BASE}/zones/{zone}/machineTypes/{name}"


@pytest.fixture
def lab(cloud: FakeCloud) -> Project:
    """Return the only project of the cloud, empty."""
    cloud.world.projects.clear()
    return cloud.world.add(Project("lab", "7"))


def _options(cloud: FakeCloud, **more: Any) -> dict[str, Any]:
    return {**cloud.options, "projects": ["lab"], "hostnames": ["name"], **more}


def test_flat_variables_of_a_gpu_host(cloud: FakeCloud, lab: Project, inventory: Inventory) -> None:
    zone = "us-central1-a"
    add_instance(
        lab, "box", zone, machineType=_machine(zone, "a2-highgpu-2g"), labels={"env": "prod"}, status="RUNNING",
        tags={"items": ["ssh"], "fingerprint": "x"}, id="123",
        scheduling={"preemptible": False, "provisioningModel": "SPOT"},
        guestAccelerators=[{"acceleratorType": f"{BASE}/zones/{zone}/acceleratorTypes/nvidia-tesla-a100", "acceleratorCount": 2}],
    )  # fmt: skip
    loaded = inventory.load(_options(cloud))
    assert loaded.hosts["box"] == {
        "gcp_external_ip": "34.7.0.2", "gcp_internal_ip": "10.7.0.2", "gcp_id": "123", "gcp_name": "box",
        "gcp_project": "lab", "gcp_zone": zone, "gcp_region": "us-central1", "gcp_status": "RUNNING",
        "gcp_machine_type": "a2-highgpu-2g", "gcp_machine_family": "a2", "gcp_labels": {"env": "prod"}, "gcp_tags": ["ssh"],
        "gcp_network": "default", "gcp_spot": True, "gcp_gpu_type": "nvidia-tesla-a100", "gcp_gpu_count": 2,
        "gcp_gpu_memory_gb": 40, "gcp_gpu_mig_capable": True, "gcp_gpu_min_driver": "450.80.02",
    }  # fmt: skip
    assert loaded.groups["gpu"] == loaded.groups["gpu_tesla_a100"] == loaded.groups["spot"] == ["box"]
    assert loaded.warnings == []


GPUS = {
    "bundled and not listed": ("a3-highgpu-8g", None, ["nvidia-h100-80gb", 8, 80, True, "525.60.13"]),
    "bundled and listed": ("g2-standard-48", ("nvidia-l4", 4), ["nvidia-l4", 4, 24, False, "525.60.13"]),
    "attached": ("n1-standard-8", ("nvidia-tesla-t4", 1), ["nvidia-tesla-t4", 1, 16, False, None]),
    "workstation": ("g2-standard-4", ("nvidia-l4-vws", 1), ["nvidia-l4-vws", 1, 24, False, "525.60.13"]),
    "part of a card": ("g4-standard-12", None, ["nvidia-rtx-pro-6000", 1, 24, False, "575.51.03"]),
    "Arm": ("a4x-highgpu-4g", None, ["nvidia-gb200", 4, 186, True, "570.133.20"]),
    "not in the table yet": ("x9-ultra-1g", ("nvidia-z999", 3), ["nvidia-z999", 3, None, False, None]),
    "TPU": ("ct5lp-hightpu-4t", ("ct5lp", 4), [None, 0, None, False, None]),
    "none": ("e2-small", None, [None, 0, None, False, None]),
}


@pytest.mark.parametrize("case", GPUS)
def test_gpu_facts(cloud: FakeCloud, lab: Project, inventory: Inventory, case: str) -> None:
    machine, attached, expected = GPUS[case]
    zone = "us-central1-a"
    cards = (
        [{"acceleratorType": f"{BASE}/zones/{zone}/acceleratorTypes/{attached[0]}", "acceleratorCount": attached[1]}]
        if attached
        else None
    )
    add_instance(lab, "box", zone, **{**PLAIN, "machineType": _machine(zone, machine), "guestAccelerators": cards})
    loaded = inventory.load(_options(cloud))
    keys = ("gcp_gpu_type", "gcp_gpu_count", "gcp_gpu_memory_gb", "gcp_gpu_mig_capable", "gcp_gpu_min_driver")
    assert loaded.facts("box", *keys) == expected
    assert ("gpu" in loaded.groups) is bool(expected[1])


def test_preemptible_is_spot(cloud: FakeCloud, lab: Project, inventory: Inventory) -> None:
    add_instance(lab, "old", "us-east1-b", scheduling={"preemptible": True, "provisioningModel": "STANDARD"})
    add_instance(lab, "firm", "us-east1-b", scheduling={"preemptible": False})
    loaded = inventory.load(_options(cloud))
    assert loaded.groups["spot"] == ["old"]


def test_facts_that_an_instance_lacks_are_not_set_but_expressions_see_them(
    cloud: FakeCloud, lab: Project, inventory: Inventory
) -> None:
    add_instance(
        lab, "bare", "us-east1-b", machineType=_machine("us-east1-b", "e2-small"), networkInterfaces=None, **PLAIN
    )
    names = (
        "gcp_external_ip",
        "gcp_internal_ipv6",
        "gcp_gpu_type",
        "gcp_created",
        "gcp_service_account",
        "gcp_subnetwork",
    )
    loaded = inventory.load(_options(cloud, compose={f"my_{name}": name for name in names}, strict=True))
    assert not set(names) & set(loaded.hosts["bare"])
    assert loaded.facts("bare", *(f"my_{name}" for name in names))[:3] == [None, None, None]
    assert loaded.hosts["bare"]["my_gcp_created"].startswith("2026-")


def test_prefix_raw_metadata_and_image(cloud: FakeCloud, lab: Project, inventory: Inventory) -> None:
    row = add_instance(lab, "box", "us-east1-b")
    options = _options(cloud, vars_prefix="cloud_", raw=True, metadata=True, retrieve_image_info=True)
    variables = inventory.load(options).hosts["box"]
    assert variables["cloud_raw"] == row
    assert variables["cloud_metadata"]["startup-script"].startswith("#! /bin/bash")
    assert variables["cloud_image"].startswith("debian-12")
    assert not any(name.startswith("gcp_") for name in variables)
    plain = inventory.load(_options(cloud)).hosts["box"]
    assert not {"gcp_raw", "gcp_metadata", "gcp_image"} & set(plain)


def test_raw_next_to_the_variables_of_gcp_compute(cloud: FakeCloud, lab: Project, inventory: Inventory) -> None:
    row = add_instance(lab, "box", "us-east1-b")
    variables = inventory.load(_options(cloud, hostvars="compute", raw=True, vars_prefix="x_")).hosts["box"]
    assert variables["gcp_raw"] == row
    assert variables["x_zone"] == "us-east1-b"


def test_groups_by_everything(cloud: FakeCloud, lab: Project, inventory: Inventory) -> None:
    zone = "us-central1-a"
    add_instance(lab, "box", zone, **{**PLAIN, "machineType": _machine(zone, "g2-standard-24")})
    every = ["project", "region", "zone", "status", "machine_type", "machine_family", "gpu", "spot", "instance_group"]
    loaded = inventory.load(_options(cloud, group_by=every))
    wanted = {"project_lab", "region_us_central1", "zone_us_central1_a", "status_running", "machine_type_g2_standard_24",
              "machine_family_g2", "gpu", "gpu_l4", "instance_group_workers"}  # fmt: skip
    assert wanted <= {name for name, hosts in loaded.groups.items() if hosts == ["box"]}


def test_managed_instance_group_regional_and_none(cloud: FakeCloud, lab: Project, inventory: Inventory) -> None:
    def owner(value: str) -> dict[str, Any]:
        return {"items": [{"key": "created-by", "value": value}]}

    add_instance(lab, "a", "us-east1-b", metadata=owner("projects/7/regions/us-east1/instanceGroupManagers/pool"))
    add_instance(lab, "b", "us-east1-b", metadata=owner("projects/7/zones/us-east1-b/queuedResources/pool"))
    add_instance(lab, "c", "us-east1-b", metadata=None)
    loaded = inventory.load(_options(cloud, group_by=["instance_group"]))
    assert loaded.groups["instance_group_pool"] == ["a"]


def test_metadata_is_sent_only_when_requested(cloud: FakeCloud, lab: Project, inventory: Inventory) -> None:
    add_instance(lab, "box", "us-east1-b")
    inventory.load(_options(cloud))
    inventory.load(_options(cloud, group_by=["instance_group"]))
    inventory.load(_options(cloud, compose={"x": "metadata['created-by']"}))
    inventory.load(_options(cloud, compose={"x": "lookup('env', 'X')"}))
    masks = [entry.params.get("fields", "everything") for entry in cloud.seen]
    assert ["metadata" in mask or mask == "everything" for mask in masks] == [False, True, True, True]


# --- names -----------------------------------------------------------------------------------------------------------------
NAMES = {
    "default is the public address": (None, "34.7.0.2"),
    "name": (["name"], "box"),
    "private address": (["private_ip"], "10.7.0.2"),
    "new words for addresses": (["external_ipv6", "internal_ip"], "10.7.0.2"),
    "custom host name": (["hostname"], "gpu.example.com"),
    "label": (["labels.role"], "trainer"),
    "absent label, then name": (["labels.none", "name"], "box"),
    "internal DNS": (["dns"], "box.us-east1-b.c.lab.internal"),
    "id": (["id"], "123"),
    "fact": (["gcp_machine_family"], "e2"),
    "expression": (["gcp_name ~ '.' ~ gcp_labels.role"], "box.trainer"),
    "expression over the API's fields": (["name ~ '-' ~ zone.split('-')[-1]"], "box-b"),
    "expression with a label": (["labels.role | upper"], "TRAINER"),
    "template": (["{{ gcp_name }}.{{ gcp_region }}"], "box.us-east1"),
    "expression without a value, then name": (["gcp_internal_ipv6", "name"], "box"),
    "expression that fails, then name": (["labels.none ~ 'x'", "name"], "box"),
}


@pytest.mark.parametrize("case", NAMES)
def test_host_name(cloud: FakeCloud, lab: Project, inventory: Inventory, case: str) -> None:
    sources, expected = NAMES[case]
    row: dict[str, Any] = {
        **PLAIN,
        "id": "123",
        "hostname": "gpu.example.com",
        "labels": {"role": "trainer"},
        "machineType": _machine("us-east1-b", "e2-small"),
    }
    add_instance(lab, "box", "us-east1-b", **row)
    options = _options(cloud)
    options.pop("hostnames")
    loaded = inventory.load({**options, **({"hostnames": sources} if sources else {})})
    assert list(loaded.hosts) == [expected]


def test_order_is_stable(cloud: FakeCloud, lab: Project, inventory: Inventory) -> None:
    for name, zone in (("z", "us-east1-b"), ("a", "us-west1-a"), ("b", "us-east1-b"), ("c", "asia-east1-a")):
        add_instance(lab, name, zone)
    first = inventory.load(_options(cloud))
    lab.instances.reverse()
    second = inventory.load(_options(cloud))
    assert list(first.hosts) == ["c", "b", "z", "a"]
    assert first.outcome == second.outcome


# --- connection --------------------------------------------------------------------------------------------------------------
CONNECTIONS = {
    "auto": "34.7.0.2", "external_ip": "34.7.0.2", "internal_ip": "10.7.0.2", "external_ipv6": "2600::2",
    "internal_ipv6": "fd20::2", "dns": "box.us-east1-b.c.lab.internal",
}  # fmt: skip


@pytest.mark.parametrize("how", CONNECTIONS)
def test_connect_with(cloud: FakeCloud, lab: Project, inventory: Inventory, how: str) -> None:
    row = add_instance(lab, "box", "us-east1-b")
    row["networkInterfaces"][0].update(ipv6Address="fd20::2", ipv6AccessConfigs=[{"externalIpv6": "2600::2"}])
    assert inventory.load(_options(cloud, connect_with=how)).facts("box", "ansible_host") == [CONNECTIONS[how]]


def test_auto_takes_the_first_address(cloud: FakeCloud, lab: Project, inventory: Inventory) -> None:
    row = add_instance(lab, "inside", "us-east1-b")
    row["networkInterfaces"][0].pop("accessConfigs")
    add_instance(lab, "nowhere", "us-east1-b", networkInterfaces=None)
    loaded = inventory.load(_options(cloud, connect_with="auto"))
    assert loaded.facts("inside", "ansible_host") == ["10.7.0.2"]
    assert "ansible_host" not in loaded.hosts["nowhere"]
    assert any("nowhere: no address" in warning for warning in loaded.warnings)


def test_compose_overrules_connect_with_and_default_sets_nothing(
    cloud: FakeCloud, lab: Project, inventory: Inventory
) -> None:
    add_instance(lab, "box", "us-east1-b")
    options = _options(cloud, connect_with="external_ip", compose={"ansible_host": "gcp_internal_ip"})
    assert inventory.load(options).facts("box", "ansible_host") == ["10.7.0.2"]
    assert "ansible_host" not in inventory.load(_options(cloud)).hosts["box"]


def test_identity_aware_proxy(cloud: FakeCloud, lab: Project, inventory: Inventory) -> None:
    add_instance(lab, "box", "us-east1-b", id="123")
    variables = inventory.load(_options(cloud, connect_with="iap")).hosts["box"]
    assert variables["ansible_host"] == "box"
    words = shlex.split(variables["ansible_ssh_common_args"])
    assert words[0::2] == ["-o", "-o"]
    command = words[1].removeprefix("ProxyCommand=")
    assert command.startswith(
        "gcloud compute start-iap-tunnel box %p --listen-on-stdin --project=lab --zone=us-east1-b"
    )
    assert words[3] == "HostKeyAlias=compute.123"


def test_identity_aware_proxy_rejects_unsafe_values(world: Any, inventory: Inventory) -> None:
    world.projects.clear()
    project = world.add(Project("lab", "7"))
    add_instance(project, 'x"; touch owned; "', "us-east1-b")
    with FakeCloud(world) as cloud:
        loaded = inventory.load(_options(cloud, connect_with="iap"))
    (variables,) = loaded.hosts.values()
    assert "ansible_ssh_common_args" not in variables
    assert any("no address for connect_with: iap" in warning for warning in loaded.warnings)


OS_LOGIN = {
    "own yes": ("TRUE", None, True),
    "own no over project yes": ("false", "TRUE", False),
    "project yes": (None, "TRUE", True),
    "not set": (None, None, False),
}


@pytest.mark.parametrize("case", OS_LOGIN)
def test_os_login_user(cloud: FakeCloud, lab: Project, inventory: Inventory, case: str) -> None:
    own, common, expected = OS_LOGIN[case]
    lab.metadata = {"enable-oslogin": common} if common else {}
    add_instance(
        lab, "box", "us-east1-b", metadata={"items": [{"key": "enable-oslogin", "value": own}]} if own else None
    )
    variables = inventory.load(_options(cloud, os_login_user="sa_1")).hosts["box"]
    assert variables.get("ansible_user") == ("sa_1" if expected else None)
    assert variables["gcp_os_login"] is expected


def test_one_name_in_two_files_gives_a_warning(cloud: FakeCloud, lab: Project, inventory: Inventory) -> None:
    """Ansible makes one host of two instances of that name; the same instance in two files is no mistake."""
    other = cloud.world.add(Project("test", "8"))
    for project, number in ((lab, "1"), (other, "2")):
        add_instance(project, "gpu1", "us-central1-a", id=number, labels={}, **PLAIN)
    first = str(inventory.write(_options(cloud), name="first/gcp.yml"))
    second = inventory.write(_options(cloud, projects=["test"]), name="second/gcp.yml")
    loaded = inventory.attempt(second, others=(first,))
    assert not loaded.error
    assert [warning for warning in loaded.warnings if "host 'gpu1'" in warning and "project lab" in warning]
    again = inventory.write(_options(cloud, name_suffix=""), name="third/gcp.yml")
    assert not [warning for warning in inventory.attempt(again, others=(first,)).warnings if "gpu1" in warning]
    apart = inventory.write(_options(cloud, projects=["test"], name_suffix=".test"), name="fourth/gcp.yml")
    loaded = inventory.attempt(apart, others=(first,))
    assert sorted(loaded.hosts) == ["gpu1", "gpu1.test"]
    assert not [warning for warning in loaded.warnings if "gpu1" in warning]


def test_labels_with_letters_of_other_scripts_name_and_select_hosts(
    cloud: FakeCloud, lab: Project, inventory: Inventory
) -> None:
    """Google allows lower case letters and letters without case of every script in names of labels."""
    add_instance(lab, "a", "us-central1-a", labels={"größe": "l", "ゾーン": "東"}, **PLAIN)
    add_instance(lab, "b", "us-central1-a", labels={"größe": "s"}, **PLAIN)
    loaded = inventory.load(_options(cloud, labels={"größe": "l"}, hostnames=["labels.ゾーン"]))
    assert sorted(loaded.hosts) == ["東"]
