# SPDX-License-Identifier: GPL-3.0-or-later
"""Which projects and which instances: every option that narrows or widens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.gcp.fakecloud import FakeCloud, Project
from tests.integration.gcp.fakecloud.world import add_instance
from tests.integration.gcp.harness import Inventory


@pytest.fixture
def many(cloud: FakeCloud) -> FakeCloud:
    """Return a cloud with a tree: an organisation, nested folders, ten projects of one instance each."""
    cloud.world.projects.clear()
    cloud.world.folders = {
        "folders/10": "organizations/1",
        "folders/20": "folders/10",
        "folders/30": "folders/20",
        "folders/40": "organizations/1",
    }
    parents = ["organizations/1", "folders/10", "folders/20", "folders/30", "folders/40"]
    for number in range(10):
        team = "vision" if number % 2 else "speech"
        project = Project(
            f"p-{number}", str(number), parents[number % 5], labels={"team": team, "stage": f"prod-{number}"}
        )
        add_instance(cloud.world.add(project), f"vm-{number}", "us-east1-b")
    gone = Project("p-gone", "99", "folders/30", state="DELETE_REQUESTED")
    add_instance(cloud.world.add(gone), "vm-gone", "us-east1-b")
    return cloud


PROJECTS: dict[str, tuple[dict[str, Any], str]] = {
    "named": ({"projects": ["p-3", "p-1"]}, "13"),
    "by id and by number": ({"projects": ["p-3", "3"]}, "3"),
    "by number": ({"projects": ["3"]}, "3"),
    "glob": ({"projects": ["p-[0-2]", "p-9"]}, "0129"),
    "folder, recursive": ({"folders": ["10"]}, "123678"),
    "folder with prefix": ({"folders": ["folders/40"]}, "49"),
    "folder given twice over": ({"folders": ["10", "20"]}, "123678"),
    "folder as a number": ({"folders": [40]}, "49"),
    "organisation": ({"organization": "1"}, "0123456789"),
    "organisation with prefix": ({"organization": "organizations/1"}, "0123456789"),
    "project labels": ({"project_labels": {"team": "vision"}}, "13579"),
    "project labels, all of them, as patterns": ({"project_labels": {"team": "vis*", "stage": "prod-[13]"}}, "13"),
    "labels inside a folder": ({"folders": ["10"], "project_labels": {"team": "speech"}}, "268"),
    "named next to a folder": ({"folders": ["40"], "projects": ["p-0"]}, "049"),
    "glob next to a folder": ({"folders": ["40"], "projects": ["p-[12]"]}, "1249"),
    "exclude": ({"organization": "1", "exclude_projects": ["p-[2-9]"]}, "01"),
    "exclude a named one": ({"projects": ["p-1", "p-2"], "exclude_projects": ["p-2"]}, "1"),
}


@pytest.mark.parametrize("case", PROJECTS)
def test_projects(many: FakeCloud, inventory: Inventory, case: str) -> None:
    options, expected = PROJECTS[case]
    loaded = inventory.load({**many.options, **options, "hostnames": ["name"]})
    assert "".join(sorted(name.removeprefix("vm-") for name in loaded.hosts)) == expected


def test_project_by_number_has_its_id(many: FakeCloud, inventory: Inventory) -> None:
    loaded = inventory.load({**many.options, "projects": ["3"], "hostnames": ["name"]})
    assert loaded.facts("vm-3", "gcp_project") == ["p-3"]


NOTHING: dict[str, tuple[dict[str, Any], str]] = {
    "glob without a match": ({"projects": ["x-*"]}, "no project that these credentials can see matches 'x-*'"),
    "label without a match": ({"project_labels": {"team": "none"}}, "no project is left"),
    "all excluded": ({"projects": ["p-1"], "exclude_projects": ["p-*"]}, "no project is left"),
    "nothing given, token": ({}, "option 'projects': none given"),
    "folder out of sight": ({"folders": ["77"]}, "folders/77"),
}


@pytest.mark.parametrize("case", NOTHING)
def test_no_project_is_an_error(many: FakeCloud, inventory: Inventory, case: str) -> None:
    options, words = NOTHING[case]
    assert words in inventory.error({**many.options, **options})


def test_listed_project_without_compute_engine_is_skipped(many: FakeCloud, inventory: Inventory) -> None:
    many.reject("p-4", 403, "SERVICE_DISABLED", "Compute Engine API is disabled")
    loaded = inventory.load({**many.options, "folders": ["40"], "hostnames": ["name"]})
    assert list(loaded.hosts) == ["vm-9"]
    assert "p-4" in inventory.error({**many.options, "folders": ["40"], "on_error": {"api_disabled": "fail"}})
    assert "p-4" in inventory.error({**many.options, "projects": ["p-4"]})


def test_projects_are_read_in_parallel(many: FakeCloud, inventory: Inventory) -> None:
    many.latency = 0.1
    inventory.load({**many.options, "projects": [f"p-{number}" for number in range(10)], "hostnames": ["name"]})
    assert many.most_in_flight >= 8
    many.most_in_flight = 0
    inventory.load(
        {**many.options, "projects": [f"p-{number}" for number in range(10)], "hostnames": ["name"], "workers": 2}
    )
    assert many.most_in_flight == 2


@pytest.fixture
def mixed(cloud: FakeCloud) -> FakeCloud:
    """Return a cloud with a few hosts that differ in everything that can be selected."""
    cloud.world.projects.clear()
    project = cloud.world.add(Project("lab", "7"))

    def add(name: str, zone: str, machine: str, **changes: Any) -> None:
        base = "https://www.googleapis.com/compute/v1/projects/lab"
        plain = {"guestAccelerators": None, "tags": None, "labels": None, "status": "RUNNING"}
        add_instance(
            project, name, zone, machineType=f"{base}/zones/{zone}/machineTypes/{machine}", **{**plain, **changes}
        )

    add(
        "web",
        "us-east1-b",
        "e2-small",
        labels={"env": "prod", "app": "web"},
        tags={"items": ["http", "ssh"], "fingerprint": "a"},
    )
    add(
        "job",
        "us-east4-a",
        "e2-small",
        labels={"env": "dev"},
        tags={"items": ["ssh"], "fingerprint": "a"},
        status="TERMINATED",
    )
    add("l4", "us-central1-a", "g2-standard-24", labels={"env": "prod"})
    accelerator = "https://www.googleapis.com/compute/v1/projects/lab/zones/us-east1-c/acceleratorTypes/"
    add(
        "t4",
        "us-east1-c",
        "n1-standard-8",
        guestAccelerators=[{"acceleratorType": accelerator + "nvidia-tesla-t4", "acceleratorCount": 2}],
    )
    add(
        "tpu",
        "us-east1-c",
        "ct5lp-hightpu-4t",
        guestAccelerators=[{"acceleratorType": accelerator + "ct5lp", "acceleratorCount": 4}],
    )
    return cloud


SELECTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "all": ({}, "job l4 t4 tpu web"),
    "zone": ({"zones": ["us-east1-c"]}, "t4 tpu"),
    "region": ({"regions": ["us-east1"]}, "t4 tpu web"),
    "region and zone": ({"regions": ["us-east1"], "zones": ["us-east1-b", "us-east4-a"]}, "web"),
    "status": ({"statuses": ["terminated"]}, "job"),
    "label": ({"labels": {"env": "prod"}}, "l4 web"),
    "label pattern": ({"labels": {"app": "*"}}, "web"),
    "tags are all needed": ({"tags": ["http", "ssh"]}, "web"),
    "tag": ({"tags": ["ssh"]}, "job web"),
    "gpu only": ({"gpu_only": True}, "l4 t4"),
    "include": ({"include": ["gcp_gpu_memory_gb | default(0, true) | int >= 20"]}, "l4"),
    "include, all of them": ({"include": ["gcp_labels.env is defined", "gcp_zone.startswith('us-east')"]}, "job web"),
    "exclude, any of them": ({"exclude": ["gcp_gpu_count > 0", "status == 'TERMINATED'"]}, "tpu web"),
    "api fields": (
        {"include": ["labels.env | default('') == 'prod'"], "exclude": ["machineType.startswith('g2-')"]},
        "web",
    ),
}


@pytest.mark.parametrize("case", SELECTIONS)
def test_selection(mixed: FakeCloud, inventory: Inventory, case: str) -> None:
    options, expected = SELECTIONS[case]
    loaded = inventory.load({**mixed.options, "projects": ["lab"], "hostnames": ["name"], **options})
    assert " ".join(sorted(loaded.hosts)) == expected
    assert loaded.warnings == []


def test_condition_that_fails_counts_as_false_and_is_reported_once(mixed: FakeCloud, inventory: Inventory) -> None:
    options = {**mixed.options, "projects": ["lab"], "hostnames": ["name"]}
    loaded = inventory.load({**options, "exclude": ["labels.env == 'dev'"]})
    assert sorted(loaded.hosts) == ["l4", "t4", "tpu", "web"]
    told = [warning for warning in loaded.warnings if "could not be evaluated" in warning]
    assert len(told) == 1
    assert "for 2 instances" in told[0]
