# SPDX-License-Identifier: GPL-3.0-or-later
"""On healthy worlds, hostvars: compute gives the hosts, groups and variables of google.cloud.gcp_compute itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.gcp.fakecloud import FakeCloud, make_world
from tests.integration.gcp.fakecloud.service import TOKEN
from tests.integration.gcp.fakecloud.world import add_instance
from tests.integration.gcp.harness import ANCHOR, OURS, Inventory

SIGN_IN = {"auth_kind": "accesstoken", "access_token": TOKEN}
PROJECTS = {"projects": ["lab-00", "lab-01"]}
OPTION_SETS: dict[str, dict[str, Any]] = {
    "plain": {},
    "names": {"hostnames": ["name"]},
    "hostname": {"hostnames": ["hostname"], "name_suffix": ".example.com"},
    "label names": {"hostnames": ["labels.vm-name", "name"]},
    "private addresses": {"hostnames": ["private_ip", "public_ip"]},
    "suffix and prefix": {"hostnames": ["name"], "name_suffix": ".lab.example.com", "vars_prefix": "gce_"},
    "zones, few": {"zones": ["us-central1-a", "us-east1-b", "asia-east1-a", "us-west1-c"]},
    "zones, many": {"zones": ["us-central1-a", "us-east1-b", "us-east4-c", "asia-east1-a", "europe-west1-b"]},
    "filter": {"filters": ["status = RUNNING"], "hostnames": ["name"]},
    "filters": {"filters": ["scheduling.automaticRestart = true AND status = RUNNING", "labels.env = prod"]},
    "images": {"retrieve_image_info": True, "hostnames": ["name"]},
    "scopes": {"scopes": ["https://www.googleapis.com/auth/cloud-platform"], "hostnames": ["name"]},
    "constructed": {
        "hostnames": ["name"],
        "compose": {
            "ansible_host": "networkInterfaces[0].accessConfigs[0].natIP",
            "fallback": "networkInterfaces[1].networkIP | default(networkInterfaces[0].networkIP)",
            "full": "name ~ '.' ~ zone ~ '.' ~ project",
            "broken": "no.such.thing",
            "filtered": "labels | dict2items | map(attribute='key') | sort | join(',')",
            "count": "disks | length",
            "whole": "scheduling",
        },
        "groups": {
            "production": "labels.env == 'prod'",
            "running-ones": "status == 'RUNNING' and machineType.startswith('n1')",
            "undefined": "labels.nothing == 'x'",
            "magic": "inventory_hostname.endswith('7')",
            "composed": "count | int == 1",
        },
        "keyed_groups": [
            {"key": "labels", "prefix": "label"},
            {"key": "zone", "prefix": "z", "parent_group": "all_zones"},
            {"key": "machineType", "separator": ""},
            {"key": "tags['items']", "prefix": "tag"},
            {"key": "tags.items", "prefix": "method"},
            {"key": "labels.missing", "default_value": "none", "prefix": "m"},
            {"key": "labels.env", "parent_group": "{{ 'env_' ~ labels.owner }}"},
            {"key": "description", "default_value": "empty", "prefix": "text"},
            {"key": "status | lower", "prefix": "s"},
        ],
    },
    "no leading separator": {"leading_separator": False, "keyed_groups": [{"key": "status"}, {"key": "labels"}]},
    "contrib names": {
        "use_contrib_script_compatible_sanitization": True,
        "keyed_groups": [{"key": "zone", "prefix": "zone"}],
    },
}


@pytest.mark.parametrize("chosen", OPTION_SETS)
def test_same_as_gcp_compute(tls_cloud: FakeCloud, inventory: Inventory, chosen: str) -> None:
    options = {**SIGN_IN, **PROJECTS, **OPTION_SETS[chosen]}
    theirs = inventory.load(options, ANCHOR)
    ours = inventory.load({**options, "hostvars": "compute"}, OURS)
    assert len(theirs.hosts) > 3
    assert _plain(ours.hosts) == _plain(theirs.hosts)
    assert _sorted(ours.groups) == _sorted(theirs.groups)
    assert ours.children == theirs.children


@pytest.mark.parametrize("seed", range(2, 7))
def test_same_on_other_worlds(tls_cloud: FakeCloud, inventory: Inventory, seed: int) -> None:
    tls_cloud.world = make_world(60, 2, seed)
    project = tls_cloud.world.projects["lab-00"]
    add_instance(project, "no-external", "us-east1-b", networkInterfaces=_without_external(project.instances[0]))
    add_instance(
        project, "bare", "us-east1-c", labels=None, tags=None, metadata={"kind": "compute#metadata"}, disks=None
    )
    options = {**SIGN_IN, **PROJECTS, **OPTION_SETS["constructed"]}
    theirs = inventory.load(options, ANCHOR)
    ours = inventory.load({**options, "hostvars": "compute"}, OURS)
    assert _plain(ours.hosts) == _plain(theirs.hosts)
    assert _sorted(ours.groups) == _sorted(theirs.groups)


def test_pages_are_followed_as_there(tls_cloud: FakeCloud, inventory: Inventory) -> None:
    tls_cloud.world = make_world(1203, 2)
    options = {**SIGN_IN, **PROJECTS, "hostnames": ["name"]}
    theirs = inventory.load(options, ANCHOR)
    tls_cloud.seen.clear()
    ours = inventory.load({**options, "hostvars": "compute"}, OURS)
    assert len(ours.hosts) == 1203
    assert sorted(ours.hosts) == sorted(theirs.hosts)
    assert len(tls_cloud.seen) == 4


def test_direct_children_of_a_folder_as_there(tls_cloud: FakeCloud, inventory: Inventory) -> None:
    tls_cloud.world = make_world(40, 2)
    tls_cloud.world.folders = {"folders/10": "organizations/1", "folders/11": "organizations/1"}
    options = {**SIGN_IN, "folders": ["10", "11"], "hostnames": ["name"]}
    theirs = inventory.load(options, ANCHOR)
    ours = inventory.load({**options, "hostvars": "compute"}, OURS)
    assert len(ours.hosts) == 40
    assert _plain(ours.hosts) == _plain(theirs.hosts)


def test_flat_host_variables_differ_but_groups_do_not(tls_cloud: FakeCloud, inventory: Inventory) -> None:
    options = {**SIGN_IN, **PROJECTS, **OPTION_SETS["constructed"]}
    theirs = inventory.load(options, ANCHOR)
    ours = inventory.load({**options, "group_by": []}, OURS)
    assert _sorted(ours.groups) == _sorted(theirs.groups)
    composed = ("ansible_host", "fallback", "full", "filtered", "count", "whole")
    for name, variables in theirs.hosts.items():
        assert [_plain(variables.get(key)) for key in composed] == [
            _plain(ours.hosts[name].get(key)) for key in composed
        ]


def _without_external(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row["networkInterfaces"][0].items() if key != "accessConfigs"}]


def _sorted(groups: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: sorted(hosts) for name, hosts in groups.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value
