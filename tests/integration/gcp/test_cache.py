# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache: no request when warm, fresh and rewritten after a flush, never another identity's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gcp.fakecloud import FakeCloud
from tests.integration.gcp.fakecloud.world import add_instance
from tests.integration.gcp.harness import Inventory


@pytest.fixture
def options(cloud: FakeCloud, tmp_path: Path) -> dict[str, Any]:
    """Return options with a cache in a directory."""
    cache = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(tmp_path / "cache")}
    return {
        **cloud.options, **cache, "projects": ["lab-00", "lab-01"], "hostnames": ["name"],
        "keyed_groups": [{"key": "labels", "prefix": "l"}], "compose": {"ansible_host": "gcp_internal_ip"},
    }  # fmt: skip


EXTRAS: dict[str, dict[str, Any]] = {
    "plain": {},
    "images": {"retrieve_image_info": True},
    "folders": {"folders": ["10"]},
    "OS Login": {"os_login_user": "sa_1"},
    "gcp_compute's variables": {"hostvars": "compute"},
    "raw": {"raw": True, "metadata": True},
}


@pytest.mark.parametrize("case", EXTRAS)
def test_warm_cache_makes_no_request_and_gives_the_same(
    cloud: FakeCloud, inventory: Inventory, options: dict[str, Any], case: str
) -> None:
    cold = inventory.load({**options, **EXTRAS[case]})
    assert cloud.seen
    cloud.seen.clear()
    warm = inventory.load({**options, **EXTRAS[case]})
    assert cloud.seen == []
    assert warm.outcome == cold.outcome
    assert len(warm.hosts) == 40


def test_flush_fetches_and_rewrites(cloud: FakeCloud, inventory: Inventory, options: dict[str, Any]) -> None:
    inventory.load(options)
    cloud.world.projects["lab-01"].instances.clear()
    assert len(inventory.load(options).hosts) == 40
    assert len(inventory.load(options, cache=False).hosts) == 20
    cloud.seen.clear()
    assert len(inventory.load(options).hosts) == 20
    assert cloud.seen == []


CHANGES: dict[str, dict[str, Any]] = {
    "filters": {"filters": ["status = RUNNING"]},
    "projects": {"projects": ["lab-00"]},
    "zones": {"zones": ["us-east1-b"]},
    "identity": {"impersonate_service_account": "a@b.example.com"},
    "quota project": {"quota_project": "other"},
    "more fields": {"compose": {"x": "description"}},
    "images": {"retrieve_image_info": True},
    "on_error": {"on_error": "warn"},
}


@pytest.mark.parametrize("case", CHANGES)
def test_other_options_or_identity_never_get_the_old_answer(
    cloud: FakeCloud, inventory: Inventory, options: dict[str, Any], case: str
) -> None:
    inventory.load(options)
    cloud.seen.clear()
    inventory.attempt({**options, **CHANGES[case], "iam_credentials_endpoint": f"{cloud.url}/v1"})
    assert cloud.seen


def test_other_token_is_another_identity(cloud: FakeCloud, inventory: Inventory, options: dict[str, Any]) -> None:
    inventory.load(options)
    assert "access_token" in inventory.error({**options, "access_token": "another-token"})


def test_what_only_shapes_the_result_keeps_the_cache(
    cloud: FakeCloud, inventory: Inventory, options: dict[str, Any]
) -> None:
    inventory.load(options)
    cloud.seen.clear()
    loaded = inventory.load(
        {**options, "gpu_only": True, "keyed_groups": [], "hostnames": ["private_ip"], "group_by": ["zone"]}
    )
    assert cloud.seen == []
    assert 0 < len(loaded.hosts) < 40


def test_incomplete_inventory_is_not_cached(cloud: FakeCloud, inventory: Inventory, options: dict[str, Any]) -> None:
    cloud.world.unreachable = {"us-east1-b"}
    assert any("not cached" in warning for warning in inventory.load(options).warnings)
    cloud.world.unreachable = set()
    assert len(inventory.load(options).hosts) == 40


def test_cache_holds_raw_answers_and_no_secret(
    cloud: FakeCloud, inventory: Inventory, options: dict[str, Any], tmp_path: Path
) -> None:
    inventory.load(options)
    (entry,) = (tmp_path / "cache").iterdir()
    text = entry.read_text()
    assert "good-token" not in text + entry.name
    assert "networkInterfaces" in text
    assert "ansible_host" not in text


@pytest.mark.parametrize("content", ["", "not json", "{}", '{"__payload__": "{}"}'])
def test_damaged_cache_is_made_again(
    cloud: FakeCloud, inventory: Inventory, options: dict[str, Any], tmp_path: Path, content: str
) -> None:
    inventory.load(options)
    (entry,) = (tmp_path / "cache").iterdir()
    entry.write_text(content)
    assert len(inventory.load(options).hosts) == 40
    cloud.seen.clear()
    assert len(inventory.load(options).hosts) == 40
    assert cloud.seen == []


def test_entry_of_another_format_is_fetched_again(
    cloud: FakeCloud, inventory: Inventory, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory.load(options)
    monkeypatch.setattr("ansible_collections.gpulab.core.plugins.plugin_utils.gcp.cache._FORMAT", 2)
    cloud.seen.clear()
    inventory.load(options)
    assert cloud.seen


def test_key_file_in_another_place_with_the_same_key_is_the_same_identity(tmp_path: Path) -> None:
    from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.auth import fingerprint
    from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.options import Auth

    for name in ("a.json", "b.json", "c.json"):
        (tmp_path / name).write_text(json.dumps({"client_email": "x" if name != "c.json" else "y"}))
    first, second, third = (
        fingerprint(Auth("serviceaccount", service_account_file=str(tmp_path / name)))
        for name in ("a.json", "b.json", "c.json")
    )
    assert first == second != third


def test_new_instance_is_listed_when_the_cache_is_off(
    cloud: FakeCloud, inventory: Inventory, options: dict[str, Any]
) -> None:
    plain = {**options, "cache": False}
    inventory.load(plain)
    add_instance(cloud.world.projects["lab-00"], "new", "us-east1-b")
    assert "new" in inventory.load(plain).hosts
