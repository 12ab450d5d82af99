# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake agrees with Google's own discovery document, both ways, and with Google's own clients."""

from __future__ import annotations

import copy
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import google.api_core.exceptions
import pytest
from google.cloud import compute_v1
from google.cloud.compute_v1.services.instances.transports import InstancesRestTransport
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from tests.integration.gcp.fakecloud import FakeCloud, Fault, make_world
from tests.integration.gcp.fakecloud.schema import document, method, unknown_parameters, violations
from tests.integration.gcp.fakecloud.service import TOKEN
from tests.integration.gcp.fakecloud.world import add_instance
from tests.integration.gcp.harness import Inventory
from tests.support.paths import ROOT

ANSWERS = sorted((ROOT / "tests" / "unit" / "gcp" / "answers").glob("*.json"))


# --- the gate, outwards ------------------------------------------------------------------------------------------------------
def _instance() -> dict[str, Any]:
    return copy.deepcopy(make_world(1, 1).projects["lab-00"].instances[0])


def test_healthy_instance_passes_the_gate() -> None:
    assert violations("compute.v1", "Instance", _instance()) == []


BAD: dict[str, dict[str, Any]] = {
    "unknown field": {"gpuCount": 2},
    "number for an int64": {"id": 5},
    "text for an int64": {"id": "abc"},
    "text for a number": {"guestAccelerators": [{"acceleratorCount": "2"}]},
    "unknown enum": {"status": "UP"},
    "unknown nested field": {"networkInterfaces": [{"privateIp": "10.0.0.1"}]},
    "list for an object": {"labels": ["a"]},
    "object for a list": {"disks": {}},
    "text for a boolean": {"deletionProtection": "no"},
}


@pytest.mark.parametrize("case", BAD)
def test_gate_stops_what_google_would_not_send(case: str) -> None:
    assert violations("compute.v1", "Instance", {**_instance(), **BAD[case]})


def test_gate_watches_every_answer(inventory: Inventory) -> None:
    world = make_world()
    add_instance(world.projects["lab-00"], "odd", "us-east1-b", gpuCount=2)
    with FakeCloud(world) as cloud:
        inventory.load({**cloud.options, "projects": ["lab-00"], "hostvars": "compute"})
        assert any("gpuCount: unknown field" in problem for problem in cloud.gate_errors)


@pytest.mark.parametrize("path", ANSWERS, ids=[path.stem for path in ANSWERS])
def test_recorded_shapes_of_the_unit_tests_pass_the_gate(path: Path) -> None:
    kinds = {
        "compute#instanceAggregatedList": "InstanceAggregatedList",
        "compute#diskAggregatedList": "DiskAggregatedList",
    }
    body = json.loads(path.read_text())
    assert violations("compute.v1", kinds[body["kind"]], body) == []


def test_there_are_recorded_shapes() -> None:
    assert ANSWERS


# --- the gate, inwards -------------------------------------------------------------------------------------------------------
def test_everything_the_plugin_sends_is_in_the_document(cloud: FakeCloud, inventory: Inventory) -> None:
    options = {**cloud.options, "projects": ["lab-*"], "folders": ["10"], "hostnames": ["name"]}
    inventory.load({**options, "retrieve_image_info": True, "os_login_user": "me", "filters": ["status = RUNNING"]})
    methods = {
        "aggregated/instances": ("compute.v1", "compute.instances.aggregatedList"),
        "aggregated/disks": ("compute.v1", "compute.disks.aggregatedList"),
        "projects:search": ("cloudresourcemanager.v3", "cloudresourcemanager.projects.search"),
        "v3/projects": ("cloudresourcemanager.v3", "cloudresourcemanager.projects.list"),
        "v3/folders": ("cloudresourcemanager.v3", "cloudresourcemanager.folders.list"),
        "projects/lab-00": ("compute.v1", "compute.projects.get"),
    }
    used = set()
    for entry in cloud.seen:
        for ending, (name, method_id) in methods.items():
            if entry.path.endswith(ending):
                assert unknown_parameters(name, method_id, set(entry.params)) == set()
                assert entry.method == method(name, method_id)["httpMethod"]
                used.add(ending)
    assert used == set(methods)


@pytest.mark.parametrize(
    "query",
    [
        "colour=red",
        "maxResults=501",
        "fields=items(id",
        "fields=items/*/instances(noSuchField)",
        "filter=tags.items+%3D+a",
    ],
)
def test_fake_rejects_what_the_service_rejects(cloud: FakeCloud, query: str) -> None:
    request = urllib.request.Request(  # noqa: S310
        f"{cloud.url}/compute/v1/projects/lab-00/aggregated/instances?{query}",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=5)  # noqa: S310
    assert caught.value.code == 400


def test_discovery_document_is_the_one_the_facts_were_taken_from() -> None:
    """Fail first when the API changes: read the changes before the version of the client is raised."""
    found = document("compute.v1")
    assert int(found["revision"]) >= 20261106
    assert "readonly" in " ".join(method("compute.v1", "compute.instances.aggregatedList")["scopes"])


# --- Google's own clients ----------------------------------------------------------------------------------------------------
@pytest.fixture
def client(cloud: FakeCloud) -> compute_v1.InstancesClient:
    """Return google-cloud-compute, pointed at the fake."""
    transport = InstancesRestTransport(
        host=f"127.0.0.1:{cloud.port}", url_scheme="http", credentials=Credentials(TOKEN)
    )
    return compute_v1.InstancesClient(transport=transport)


def _names(cloud: FakeCloud) -> set[str]:
    return {row["name"] for row in cloud.world.projects["lab-00"].instances}


def test_google_cloud_compute_reads_the_fake_as_the_plugin_does(
    cloud: FakeCloud, client: compute_v1.InstancesClient, inventory: Inventory
) -> None:
    request = compute_v1.AggregatedListInstancesRequest(project="lab-00", max_results=7)
    found = {
        row.name: (
            row.network_interfaces[0].network_i_p,
            dict(row.labels),
            row.status,
            str(row.id),
            row.zone.rpartition("/")[2],
        )
        for _scope, part in client.aggregated_list(request=request)
        for row in part.instances
    }
    loaded = inventory.load({**cloud.options, "projects": ["lab-00"], "hostnames": ["name"]})
    keys = ("gcp_internal_ip", "gcp_labels", "gcp_status", "gcp_id", "gcp_zone")
    assert {name: tuple(loaded.facts(name, *keys)) for name in loaded.hosts} == found
    assert set(found) == _names(cloud)


def test_google_cloud_compute_understands_the_errors(cloud: FakeCloud, client: compute_v1.InstancesClient) -> None:
    def read(project: str) -> None:
        list(client.aggregated_list(project=project, timeout=5, retry=None))

    with pytest.raises(google.api_core.exceptions.NotFound, match="projects/nobody"):
        read("nobody")
    cloud.reject("lab-00", 403, "forbidden", "not allowed")
    with pytest.raises(google.api_core.exceptions.Forbidden, match="not allowed"):
        read("lab-00")
    cloud.faults.append(Fault("aggregated", "status", 1, 429, "new", "RATE_LIMIT_EXCEEDED", "slow down"))
    with pytest.raises(google.api_core.exceptions.TooManyRequests, match="slow down"):
        read("lab-01")


def test_google_cloud_compute_filters_as_the_plugin_does(
    cloud: FakeCloud, client: compute_v1.InstancesClient, inventory: Inventory
) -> None:
    text = "(status = RUNNING) (labels.env = prod)"
    request = compute_v1.AggregatedListInstancesRequest(project="lab-00", filter=text)
    found = {row.name for _scope, part in client.aggregated_list(request=request) for row in part.instances}
    options = {**cloud.options, "projects": ["lab-00"], "hostnames": ["name"]}
    assert found
    assert set(inventory.load({**options, "filters": ["status = RUNNING", "labels.env = prod"]}).hosts) == found
    assert set(inventory.load({**options, "statuses": ["RUNNING"], "labels": {"env": "prod"}}).hosts) == found


def test_google_api_python_client_reads_the_fake(cloud: FakeCloud) -> None:
    service = build(
        "compute", "v1", credentials=Credentials(TOKEN), static_discovery=True,
        client_options={"api_endpoint": f"{cloud.url}/compute/v1/"},
    )  # fmt: skip
    names: set[str] = set()
    request = service.instances().aggregatedList(project="lab-00", maxResults=6)
    while request is not None:
        answer = request.execute()
        names |= {row["name"] for part in answer["items"].values() for row in part.get("instances", [])}
        request = service.instances().aggregatedList_next(request, answer)
    assert names == _names(cloud)
    disks = (
        service.disks()
        .aggregatedList(project="lab-00", fields="items/*/disks(selfLink,sourceImage),nextPageToken")
        .execute()
    )
    assert sum(len(part.get("disks", [])) for part in disks["items"].values()) == 20
    with pytest.raises(HttpError, match="nobody"):
        service.instances().aggregatedList(project="nobody").execute()


def test_google_api_python_client_walks_the_projects(cloud: FakeCloud) -> None:
    service = build(
        "cloudresourcemanager", "v3", credentials=Credentials(TOKEN), static_discovery=True,
        client_options={"api_endpoint": f"{cloud.url}/"},
    )  # fmt: skip
    assert [row["projectId"] for row in service.projects().list(parent="folders/10").execute()["projects"]] == [
        "lab-00"
    ]
    assert [row["name"] for row in service.folders().list(parent="folders/10").execute()["folders"]] == ["folders/11"]
    found = service.projects().search(query="state:ACTIVE").execute()["projects"]
    assert {row["projectId"] for row in found} == {"lab-00", "lab-01"}
