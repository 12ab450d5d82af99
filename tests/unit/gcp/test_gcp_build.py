# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts from answers of recorded shape, without a network and without Ansible."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.gpu import models as gpu_models
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp import build
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.machine_types import BUNDLED
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.options import settings_from
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.rows import Snapshot

ANSWERS = Path(__file__).parent / "answers"


@pytest.fixture(scope="module")
def answer() -> dict[str, Any]:
    """Return a recorded-shape answer of instances.aggregatedList."""
    loaded: dict[str, Any] = json.loads((ANSWERS / "instances.json").read_text())
    return loaded


def _hosts(answer: dict[str, Any], **options: Any) -> dict[str, build.Host]:
    rows = [row for part in copy.deepcopy(answer)["items"].values() for row in part.get("instances", [])]
    settings = settings_from({"hostnames": ["name"], **options})
    found, _warnings = build.hosts(Snapshot(instances={"dl-lab": rows}), settings, lambda *_: None)
    return {host.name: host for host in found}


def test_every_instance_is_a_host_in_order(answer: dict[str, Any]) -> None:
    assert list(_hosts(answer)) == ["six", "starting", "a100-box", "spot-l4"]


def test_gpu_box(answer: dict[str, Any]) -> None:
    host = _hosts(answer)["a100-box"]
    assert host.variables["gcp_gpu_type"] == "nvidia-tesla-a100"
    assert host.variables["gcp_gpu_memory_gb"] == 40
    assert host.variables["gcp_external_ip"] == "34.66.1.2"
    assert host.groups == ("gpu", "gpu_tesla-a100")


def test_stopped_spot_machine_has_no_external_address(answer: dict[str, Any]) -> None:
    host = _hosts(answer, group_by=["gpu", "spot", "status", "instance_group"])["spot-l4"]
    assert "gcp_external_ip" not in host.variables
    assert host.variables["gcp_gpu_count"] == 2
    assert host.groups == ("gpu", "gpu_l4", "spot", "status_terminated", "instance_group_l4-pool")


def test_machine_that_starts_has_no_address_at_all(answer: dict[str, Any]) -> None:
    host = _hosts(answer, connect_with="auto")["starting"]
    assert "ansible_host" not in host.variables
    assert host.variables["gcp_gpu_count"] == 2


def test_ipv6_only(answer: dict[str, Any]) -> None:
    host = _hosts(answer, connect_with="auto")["six"]
    assert host.variables["ansible_host"] == "2600:1900:4060::"


def test_shape_of_gcp_compute(answer: dict[str, Any]) -> None:
    variables = _hosts(answer, hostvars="compute", vars_prefix="x_")["spot-l4"].variables
    assert variables["x_zone"] == "us-central1-a"
    assert variables["x_zone_selflink"].endswith("/zones/us-central1-a")
    assert variables["x_metadata"]["enable-oslogin"] == "TRUE"
    assert variables["x_networkInterfaces"][0]["network"] == {
        "region": "global",
        "name": "default",
        "selfLink": "https://www.googleapis.com/compute/v1/projects/dl-lab/global/networks/default",
    }
    assert variables["x_networkInterfaces"][0]["subnetwork"]["region"] == "us-central1"
    assert variables["x_image"] is None
    assert not any(name.startswith("gcp_") for name in variables)


FIELDS: dict[str, tuple[tuple[str, ...], dict[str, Any], str, str]] = {
    "plain": ((), {}, "id;name;status", "metadata,disks,description"),
    "an API field": (("cpuPlatform | lower",), {}, "cpuPlatform", "metadata"),
    "a narrow field becomes whole": (("networkInterfaces[0].stackType",), {}, "networkInterfaces", "metadata"),
    "a fact on demand": (("gcp_created",), {}, "creationTimestamp", "serviceAccounts"),
    "group": ((), {"group_by": ["instance_group"]}, "metadata/items", "disks"),
    "a template": (("{{ description }}",), {}, "description", "metadata"),
    "a condition": ((), {"include": ["deletionProtection"]}, "deletionProtection", "metadata"),
    "a name": ((), {"hostnames": ["gcp_name ~ cpuPlatform"]}, "cpuPlatform", "metadata"),
    "images": ((), {"retrieve_image_info": True}, "disks(boot,source)", "metadata"),
}


@pytest.mark.parametrize("case", FIELDS)
def test_only_needed_fields_are_requested(case: str) -> None:
    expressions, options, there, absent = FIELDS[case]
    fields = build.needs(settings_from(options), expressions).fields
    assert fields is not None
    assert set(there.split(";")) <= set(fields)
    assert not [
        name for name in absent.split(",") if any(field.split("/")[0].split("(")[0] == name for field in fields)
    ]


@pytest.mark.parametrize(
    "options", [{"hostvars": "compute"}, {"raw": True}, {"include": ["lookup('env', 'X')"]}, {"hostnames": ["vars.x"]}]
)
def test_everything_is_requested_where_needs_are_unknown(options: dict[str, Any]) -> None:
    assert build.needs(settings_from(options), ()).fields is None


# --- the GPU table ---------------------------------------------------------------------------------------------------------
def test_every_machine_type_with_gpus_leads_to_a_model() -> None:
    for machine_type, bundled in BUNDLED.items():
        model = gpu_models.by_google_accelerator(bundled.accelerator)
        assert model is not None, machine_type
        assert bundled.slice_gb is None or bundled.slice_gb < model.memory_gb


def test_table_is_consistent() -> None:
    names = [model.name for model in gpu_models.MODELS]
    accelerators = [name for model in gpu_models.MODELS for name in model.google_accelerators]
    pci_ids = [pci_id for model in gpu_models.MODELS for pci_id in model.pci_ids]
    for values in (names, accelerators, pci_ids):
        assert len(values) == len(set(values))
    for model in gpu_models.MODELS:
        major = int(model.compute_capability.split(".")[0])
        assert (gpu_models.OPEN in model.kernel_modules) is (float(model.compute_capability) >= 7.5), model.name
        assert (gpu_models.PROPRIETARY in model.kernel_modules) is (major < 10), model.name
        assert (model.last_driver_branch is not None) is (float(model.compute_capability) < 7.5), model.name


@pytest.mark.parametrize(
    ("pci_id", "name"), [("10de:1eb8", "T4"), ("10DE:2BB5", "RTX-PRO-6000"), ("10de:2335", "H200"), ("10de:ffff", None)]
)
def test_model_by_pci_id(pci_id: str, name: str | None) -> None:
    model = gpu_models.by_pci_id(pci_id)
    assert (model.name if model else None) == name
