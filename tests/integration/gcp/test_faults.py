# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the service that gcp_compute handles wrongly, and the outcome here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gcp.fakecloud import FakeCloud, Fault, Project
from tests.integration.gcp.fakecloud.world import add_instance
from tests.integration.gcp.harness import Inventory

LIST = "aggregated/instances"


def _options(cloud: FakeCloud, **more: Any) -> dict[str, Any]:
    return {**cloud.options, "projects": ["lab-00", "lab-01"], "hostnames": ["name"], **more}


# --- projects that cannot be read ----------------------------------------------------------------------------------------
REJECTIONS = {
    "forbidden, old style": (403, "forbidden", "Required 'compute.instances.list' permission for 'projects/lab-01'", "roles/compute.viewer"),
    "forbidden, new style": (403, "IAM_PERMISSION_DENIED", "Permission denied on resource project lab-01", "roles/compute.viewer"),
    "api disabled, old style": (403, "accessNotConfigured", "Compute Engine API has not been used in project 1001 before", "gcloud services enable"),
    "api disabled, new style": (403, "SERVICE_DISABLED", "Compute Engine API is disabled", "gcloud services enable"),
    "perimeter": (403, "SECURITY_POLICY_VIOLATED", "Request is prohibited by organization's policy", "VPC Service Controls"),
    "not found": (404, "notFound", "The resource 'projects/lab-01' was not found", "Is the name right"),
}  # fmt: skip


@pytest.mark.parametrize("case", REJECTIONS)
def test_one_unreadable_project_means_no_inventory_at_all(cloud: FakeCloud, inventory: Inventory, case: str) -> None:
    status, reason, message, hint = REJECTIONS[case]
    cloud.reject("lab-01", status, reason, message)
    error = inventory.error(_options(cloud))
    assert "project 'lab-01'" in error
    assert message.split(" before")[0] in error
    assert hint in error
    assert "lab-00" not in error


@pytest.mark.parametrize("case", REJECTIONS)
def test_on_error_leaves_the_project_out_with_a_warning(cloud: FakeCloud, inventory: Inventory, case: str) -> None:
    cloud.reject("lab-01", *REJECTIONS[case][:3])
    loaded = inventory.load(_options(cloud, on_error="warn"))
    assert len(loaded.hosts) == 20
    assert any("lab-01" in warning for warning in loaded.warnings)
    quiet = inventory.load(_options(cloud, on_error="skip"))
    assert len(quiet.hosts) == 20
    assert quiet.warnings == []


def test_on_error_is_per_class(cloud: FakeCloud, inventory: Inventory) -> None:
    cloud.reject("lab-01", 403, "forbidden", "no")
    assert "lab-01" in inventory.error(_options(cloud, on_error={"not_found": "warn", "perimeter": "skip"}))
    assert len(inventory.load(_options(cloud, on_error={"forbidden": "warn"})).hosts) == 20


def test_all_failures_are_named_at_once(cloud: FakeCloud, inventory: Inventory) -> None:
    error = inventory.error(_options(cloud, projects=["lab-00", "typo-1", "typo-2"]))
    assert "typo-1" in error
    assert "typo-2" in error


def test_misspelt_project_is_never_silent(cloud: FakeCloud, inventory: Inventory) -> None:
    assert (
        "'projects/lab-O1' was not found".lower()
        in inventory.error(_options(cloud, projects=["lab-00", "lab-o1"])).lower()
    )


def test_empty_project_is_never_silent(cloud: FakeCloud, inventory: Inventory) -> None:
    cloud.world.add(Project("lab-empty", "1999"))
    loaded = inventory.load(_options(cloud, projects=["lab-00", "lab-empty"]))
    assert any("'lab-empty' has no instances" in warning for warning in loaded.warnings)


def test_filter_that_leaves_nothing_is_never_silent(cloud: FakeCloud, inventory: Inventory) -> None:
    loaded = inventory.load(_options(cloud, labels={"env": "nowhere"}))
    assert loaded.hosts == {}
    assert any("no instance is left" in warning for warning in loaded.warnings)


# --- things that pass ------------------------------------------------------------------------------------------------------
PASSING = {
    "429 with Retry-After": Fault(
        LIST, "status", status=429, reason="RATE_LIMIT_EXCEEDED", headers={"Retry-After": "0"}
    ),
    "429 with a date": Fault(LIST, "status", status=429, headers={"Retry-After": "Thu, 01 Jan 2026 00:00:00 GMT"}),
    "403 rateLimitExceeded": Fault(LIST, "status", status=403, reason="rateLimitExceeded", style="old"),
    "403 RATE_LIMIT_EXCEEDED": Fault(LIST, "status", status=403, reason="RATE_LIMIT_EXCEEDED"),
    "500": Fault(LIST, "status", status=500, style="old"),
    "502 in HTML": Fault(LIST, "status", status=502, style="html"),
    "503": Fault(LIST, "status", status=503),
    "504 without a body": Fault(LIST, "status", status=504, style="empty"),
    "reset": Fault(LIST, "reset"),
    "truncated body": Fault(LIST, "truncate"),
    "no JSON": Fault(LIST, "garbage"),
}


@pytest.mark.parametrize("case", PASSING)
def test_passing_trouble_is_retried(cloud: FakeCloud, inventory: Inventory, case: str) -> None:
    fault = PASSING[case]
    cloud.faults.append(Fault(**{**vars(fault), "times": 1}))
    loaded = inventory.load(_options(cloud, projects=["lab-00"]))
    assert len(loaded.hosts) == 20
    assert len(cloud.seen) == 2


def test_hanging_service_is_given_up_and_queried_again(cloud: FakeCloud, inventory: Inventory) -> None:
    cloud.faults.append(Fault(LIST, "hang", seconds=12))
    start = time.monotonic()
    assert len(inventory.load(_options(cloud, projects=["lab-00"], timeout=1)).hosts) == 20
    assert time.monotonic() - start < 12


LASTING = {
    "503": (Fault(LIST, "status", None, message="backend is on fire"), "backend is on fire (HTTP 503)"),
    "503 in HTML": (Fault(LIST, "status", None, style="html"), "HTTP status 503 without an explanation"),
    "429": (Fault(LIST, "status", None, status=429, message="slow down"), "Too many requests"),
    "403 rate": (Fault(LIST, "status", None, status=403, reason="rateLimitExceeded", style="old", message="slow"), "Too many requests"),
    "reset": (Fault(LIST, "reset", None), "the connection failed"),
    "truncate": (Fault(LIST, "truncate", None), "cut off"),
    "garbage": (Fault(LIST, "garbage", None), "the answer is no JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", LASTING)
def test_lasting_trouble_is_named_after_bounded_tries(cloud: FakeCloud, inventory: Inventory, case: str) -> None:
    fault, words = LASTING[case]
    cloud.faults.append(fault)
    error = inventory.error(_options(cloud, projects=["lab-00"], retries=1))
    assert words in error
    assert "after 2 tries" in error
    assert len(cloud.seen) == 2


def test_time_limit_bounds_all_tries(cloud: FakeCloud, inventory: Inventory) -> None:
    cloud.faults.append(Fault(LIST, "status", None))
    start = time.monotonic()
    inventory.error(_options(cloud, retries=100, retry_budget=1))
    assert time.monotonic() - start < 20


def test_retry_after_beyond_the_time_limit_ends_the_request(cloud: FakeCloud, inventory: Inventory) -> None:
    cloud.faults.append(Fault(LIST, "status", None, status=429, headers={"Retry-After": "3600"}))
    start = time.monotonic()
    assert "Too many requests" in inventory.error(_options(cloud))
    assert time.monotonic() - start < 8


@pytest.mark.parametrize("style", ["old", "new", "html", "empty"])
def test_every_style_of_error_body_is_understood(cloud: FakeCloud, inventory: Inventory, style: str) -> None:
    cloud.faults.append(Fault(LIST, "status", None, 400, style, "invalid", "Invalid value for field 'filter': 'x y'"))
    error = inventory.error(_options(cloud, filters=["x y"], projects=["lab-00"]))
    assert ("Invalid value for field 'filter'" if style in ("old", "new") else "HTTP status 400") in error
    assert "Check the options filters" in error


def test_rejected_filter_shows_the_services_message(cloud: FakeCloud, inventory: Inventory) -> None:
    assert "'tags.items' cannot be filtered on" in inventory.error(_options(cloud, filters=["tags.items = gpu"]))


def test_page_without_items_is_an_empty_page(cloud: FakeCloud, inventory: Inventory) -> None:
    cloud.faults.append(Fault(LIST, "no_items"))
    loaded = inventory.load(_options(cloud))
    assert len(loaded.hosts) == 20


def test_page_that_repeats_does_not_run_for_ever(cloud: FakeCloud, inventory: Inventory) -> None:
    cloud.faults.append(Fault(LIST, "repeat_token", None))
    assert "repeats a page" in inventory.error(_options(cloud, projects=["lab-00"]))


@pytest.mark.parametrize("zones", [None, ["us-east1-b", "us-central1-a"]])
def test_unreachable_zone_warns_and_keeps_the_rest(
    cloud: FakeCloud, inventory: Inventory, zones: list[str] | None
) -> None:
    add_instance(cloud.world.projects["lab-00"], "lost", "us-east1-b")
    add_instance(cloud.world.projects["lab-00"], "kept", "us-central1-a")
    cloud.world.unreachable = {"us-east1-b", "asia-east1-a"}
    loaded = inventory.load(_options(cloud, projects=["lab-00"], **({"zones": zones} if zones else {})))
    assert "kept" in loaded.hosts
    assert "lost" not in loaded.hosts
    assert any("zone us-east1-b does not answer" in warning for warning in loaded.warnings)
    assert any("asia-east1-a" in warning for warning in loaded.warnings) is (zones is None)


def test_unreachable_zone_is_reported_by_the_list_alone(cloud: FakeCloud, inventory: Inventory) -> None:
    cloud.world.unreachable, cloud.zone_warnings = {"us-east1-b"}, False
    loaded = inventory.load(_options(cloud, projects=["lab-00"]))
    assert any("zone us-east1-b does not answer" in warning for warning in loaded.warnings)


def test_service_without_partial_success_is_queried_without_it(cloud: FakeCloud, inventory: Inventory) -> None:
    cloud.reject_partial_success = True
    assert len(inventory.load(_options(cloud)).hosts) == 40


def test_service_that_rejects_the_fields_mask_is_queried_without_it(cloud: FakeCloud, inventory: Inventory) -> None:
    cloud.faults.append(Fault(LIST, "status", 1, 400, "old", "invalidParameter", "Invalid field selection hostname"))
    loaded = inventory.load(_options(cloud, projects=["lab-00"]))
    assert len(loaded.hosts) == 20
    assert ["fields" in entry.params for entry in cloud.seen] == [True, False]


def test_unknown_zone_is_never_silent(cloud: FakeCloud, inventory: Inventory) -> None:
    loaded = inventory.load(_options(cloud, zones=["us-central9-a", "us-east1-b"]))
    assert any("no zone 'us-central9-a'" in warning for warning in loaded.warnings)
    assert not any("us-east1-b" in warning for warning in loaded.warnings)


# --- instances that are not like the others ---------------------------------------------------------------------------------
def test_instances_without_any_address_are_kept(cloud: FakeCloud, inventory: Inventory) -> None:
    project = cloud.world.projects["lab-00"]
    add_instance(project, "starting", "us-east1-b", status="PROVISIONING", networkInterfaces=[{"name": "nic0"}])
    add_instance(
        project, "leaving", "us-east1-b", status="STOPPING", networkInterfaces=None, disks=None, tags=None, labels=None
    )
    loaded = inventory.load(_options(cloud, hostnames=["private_ip", "name"], group_by=["status"]))
    assert len(loaded.hosts) == 42
    assert loaded.groups["status_provisioning"] == ["starting"]


def test_instance_without_a_name_is_left_out_with_a_warning(cloud: FakeCloud, inventory: Inventory) -> None:
    add_instance(cloud.world.projects["lab-00"], "starting", "us-east1-b", networkInterfaces=[{"name": "nic0"}])
    loaded = inventory.load(_options(cloud, hostnames=["private_ip"]))
    assert len(loaded.hosts) == 40
    assert any("starting in us-east1-b" in warning for warning in loaded.warnings)


def test_instance_with_ipv6_only(cloud: FakeCloud, inventory: Inventory) -> None:
    interface = {"name": "nic0", "ipv6Address": "fd20::2", "ipv6AccessConfigs": [{"externalIpv6": "2600:1900::2"}]}
    add_instance(cloud.world.projects["lab-00"], "six", "us-east1-b", networkInterfaces=[interface])
    loaded = inventory.load(_options(cloud, connect_with="auto"))
    assert loaded.facts("six", "ansible_host", "gcp_internal_ipv6") == ["2600:1900::2", "fd20::2"]


def test_unknown_status_does_not_matter(world: Any, inventory: Inventory) -> None:
    add_instance(world.projects["lab-00"], "new", "us-east1-b", status="TELEPORTING")
    with FakeCloud(world) as cloud:
        loaded = inventory.load(_options(cloud))
        assert cloud.gate_errors == []  # a mask was sent; the gate checks whole answers only
    assert loaded.facts("new", "gcp_status") == ["TELEPORTING"]


def test_same_name_in_several_zones_and_projects_is_kept_apart(cloud: FakeCloud, inventory: Inventory) -> None:
    for zone in ("us-east1-b", "us-central1-a"):
        for project in cloud.world.projects.values():
            add_instance(project, "bastion", zone)
    loaded = inventory.load(_options(cloud))
    assert len(loaded.hosts) == 44
    assert "bastion" not in loaded.hosts
    assert "bastion_us-east1-b_lab-01" in loaded.hosts
    assert any("bastion" in warning for warning in loaded.warnings)


def test_duplicates_can_fail_or_keep_the_first(cloud: FakeCloud, inventory: Inventory) -> None:
    for zone in ("us-east1-b", "us-central1-a"):
        add_instance(cloud.world.projects["lab-00"], "bastion", zone)
    assert "bastion" in inventory.error(_options(cloud, on_duplicate="fail"))
    loaded = inventory.load(_options(cloud, on_duplicate="first"))
    assert loaded.facts("bastion", "gcp_zone") == ["us-central1-a"]


def test_renamed_host_keeps_its_address(cloud: FakeCloud, inventory: Inventory) -> None:
    first, second = (project.instances[0] for project in cloud.world.projects.values())
    second["networkInterfaces"] = first["networkInterfaces"]
    loaded = inventory.load(_options(cloud, hostnames=["private_ip"]))
    renamed = [name for name in loaded.hosts if name.startswith("10.0.0.2_")]
    assert len(renamed) == 2
    assert {loaded.hosts[name]["ansible_host"] for name in renamed} == {"10.0.0.2"}


@pytest.mark.parametrize(
    "broken",
    [
        {"compose": {"x": "no.such.thing"}},
        {"groups": {"x": "no.such.thing"}},
        {"keyed_groups": [{"key": "no.such.thing"}]},
        {"keyed_groups": [{"key": "disks | length"}]},
        {"hostnames": ["no.such.thing ~ 'x'", "name"]},
        {"include": ["no.such.thing"]},
    ],
)
def test_strict_is_honoured_and_leaves_nothing_behind(
    cloud: FakeCloud, inventory: Inventory, broken: dict[str, Any]
) -> None:
    loaded = inventory.attempt({**_options(cloud), **broken, "strict": True})
    assert loaded.error
    assert loaded.hosts == {}
    assert set(loaded.groups) == {"all", "ungrouped"}


def test_failure_leaves_the_hosts_of_other_sources(
    cloud: FakeCloud, inventory: Inventory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ansible.constants.INVENTORY_ENABLED", ["auto", "yaml"])
    # The host that is reached first: hosts come by zone and name.
    name = min(cloud.world.projects["lab-00"].instances, key=lambda row: (row["zone"], row["name"]))["name"]
    other = tmp_path / "other.yml"
    other.write_text(f"all: {{hosts: {{{name}: {{mine: true}}}}}}\n")
    path = inventory.write(_options(cloud, strict=True, compose={"x": "no.such.thing"}))
    loaded = inventory.attempt(path, others=(str(other),))
    assert loaded.error
    assert list(loaded.hosts) == [name]
    assert loaded.hosts[name]["mine"] is True


def test_regional_boot_disk_has_its_image(cloud: FakeCloud, inventory: Inventory) -> None:
    project = cloud.world.projects["lab-00"]
    row = add_instance(project, "regional", "us-east1-b")
    disk = project.disks["zones/us-east1-b"].pop()
    disk["selfLink"] = row["disks"][0]["source"] = disk["selfLink"].replace("zones/us-east1-b", "regions/us-east1")
    disk["sourceImage"] = "https://www.googleapis.com/compute/v1/projects/lab-00/global/images/golden"
    disk.pop("zone")
    project.disks["regions/us-east1"] = [disk]
    loaded = inventory.load(_options(cloud, retrieve_image_info=True))
    assert loaded.facts("regional", "gcp_image") == ["golden"]


def test_images_are_set_with_a_filter_and_with_folders(cloud: FakeCloud, inventory: Inventory) -> None:
    loaded = inventory.load(_options(cloud, retrieve_image_info=True, filters=["status = RUNNING"]))
    assert all(variables["gcp_image"].startswith("debian-12") for variables in loaded.hosts.values())
    options = {**cloud.options, "folders": ["10"], "hostnames": ["name"], "retrieve_image_info": True}
    assert all(variables["gcp_image"] for variables in inventory.load(options).hosts.values())


def test_instance_listed_twice_is_one_host(cloud: FakeCloud, inventory: Inventory) -> None:
    project = cloud.world.projects["lab-00"]
    project.instances.append(dict(project.instances[0]))
    loaded = inventory.load(_options(cloud))
    assert len(loaded.hosts) == 40
    assert project.instances[0]["name"] in loaded.hosts
    assert loaded.warnings == []
