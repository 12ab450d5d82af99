# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input: one message that names the file, the option and the fix; never a traceback, never a host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.gpulab.core.plugins.inventory.gcp import DOCUMENTATION
from tests.integration.gcp.fakecloud import FakeCloud
from tests.integration.gcp.harness import Inventory

OPTIONS: dict[str, dict[str, Any]] = yaml.safe_load(DOCUMENTATION)["options"]
WRONG: dict[str, list[Any]] = {
    "str": [{"a": 1}, ["a", "b"], True],
    "path": [{"a": 1}, ["a", "b"]],
    "list": [{"a": 1}, [{"a": 1}], [["a"]], [True], [""]],
    "dict": ["text", ["a"], 5],
    "bool": ["perhaps", ["a"], {"a": 1}, 7],
    "int": ["many", ["a"], {"a": 1}, 1.5],
    "float": ["long", ["a"], {"a": 1}],
    "raw": [5, ["a"], {"nobody": "warn"}, {"forbidden": "ignore"}, "ignore"],
}
CASES = [
    (name, value) for name, option in OPTIONS.items() if name != "plugin" for value in WRONG[option.get("type", "str")]
]


@pytest.mark.parametrize(
    ("name", "value"), CASES, ids=[f"{name}-{index}" for index, (name, _value) in enumerate(CASES)]
)
def test_wrong_type_of_every_option(cloud: FakeCloud, inventory: Inventory, name: str, value: Any) -> None:
    error = inventory.error({**cloud.options, "projects": ["lab-00"], name: value})
    assert name in error
    assert len(error) < 700
    assert cloud.seen == []


CONSTRUCTED: dict[str, Any] = {
    "strict": "perhaps", "cache": ["a"], "leading_separator": {"a": 1}, "compose": ["a"], "groups": "a", "keyed_groups": ["zone"],
}  # fmt: skip


@pytest.mark.parametrize("name", CONSTRUCTED)
def test_wrong_type_of_an_inherited_option(cloud: FakeCloud, inventory: Inventory, name: str) -> None:
    assert name in inventory.error({**cloud.options, "projects": ["lab-00"], name: CONSTRUCTED[name]})


VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "typing error in a key": ({"projets": ["x"]}, "option 'projets': there is no such option; did you mean 'projects'?"),
    "key of nothing": ({"foo_bar": 1}, "ansible-doc -t inventory gpulab.core.gcp"),
    "project": ({"projects": ["My Project"]}, "option 'projects': 'My Project' is not a project id"),
    "folder by name": ({"folders": ["research"]}, "option 'folders': 'research' is not a number"),
    "organisation by name": ({"organization": "example.com"}, "option 'organization'"),
    "zone": ({"zones": ["US East"]}, "option 'zones': 'US East' is not a zone"),
    "status": ({"statuses": ["UP"]}, "option 'statuses': 'UP' is not a status; there are PENDING"),
    "label name": ({"labels": {"Bad Key": "x"}}, "option 'labels': 'Bad Key' is not a label name"),
    "label value": ({"labels": {"a": ["x"]}}, "option 'labels': the value of 'a' must be a string"),
    "host name source": ({"hostnames": ["puplic_ip"]}, "option 'hostnames': 'puplic_ip' is no source of host names"),
    "prefix": ({"vars_prefix": "9-"}, "option 'vars_prefix'"),
    "group": ({"group_by": ["gpus"]}, "gpus"),
    "endpoint": ({"api_endpoint": "compute.example.com"}, "option 'api_endpoint': 'compute.example.com' is not a base URL"),
    "plain http": ({"api_endpoint": "http://compute.example.com/compute/v1"}, "plain http would show the token"),
    "universe": ({"universe_domain": "https://x"}, "option 'universe_domain'"),
    "impersonation": ({"impersonate_service_account": "me"}, "option 'impersonate_service_account': 'me' is not a service account"),
    "delegates alone": ({"impersonate_delegates": ["a@b.example"]}, "option 'impersonate_delegates': has no effect without"),
    "quota project": ({"quota_project": "No Such"}, "option 'quota_project'"),
    "timeout": ({"timeout": 0}, "option 'timeout': 0.0 is out of range"),
    "workers": ({"workers": 1000}, "option 'workers': 1000 is out of range; allowed is 1 to 64"),
    "key with token": ({"service_account_file": "x"}, "are set together"),
    "key with other kind": (
        {"auth_kind": "accesstoken", "service_account_file": "x"}, "option 'service_account_file': works with auth_kind: serviceaccount only",
    ),
    "e-mail with other kind": (
        {"auth_kind": "accesstoken", "service_account_email": "x@y.example"}, "works with auth_kind: machineaccount only",
    ),
    "kind without token": ({"auth_kind": "accesstoken", "access_token": ""}, "option 'access_token': auth_kind: accesstoken needs it"),
    "kind without key": ({"auth_kind": "serviceaccount", "access_token": ""}, "needs service_account_file or service_account_contents"),
    "unknown kind": ({"auth_kind": "kerberos"}, "auth_kind"),
}  # fmt: skip


@pytest.mark.parametrize("case", VALUES)
def test_bad_value(cloud: FakeCloud, inventory: Inventory, case: str) -> None:
    changes, words = VALUES[case]
    assert words in inventory.error({**cloud.options, "projects": ["lab-00"], **changes})
    assert cloud.seen == []


@pytest.mark.parametrize(
    "text", ["", "plugin: gpulab.core.gcp\n  bad: [", "- plugin: gpulab.core.gcp\n", "plugin: other.name.gcp\n"]
)
def test_file_that_is_not_an_inventory(inventory: Inventory, tmp_path: Path, text: str) -> None:
    from ansible.errors import AnsibleError
    from ansible.inventory.data import InventoryData
    from ansible.parsing.dataloader import DataLoader
    from ansible.plugins.loader import inventory_loader

    path = tmp_path / "gcp.yml"
    path.write_text(text)
    data = InventoryData()
    with pytest.raises(AnsibleError) as caught:
        inventory_loader.get("gpulab.core.gcp").parse(data, DataLoader(), str(path))
    assert str(path) in str(caught.value)
    assert data.hosts == {}


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("gcp.yml", True),
        ("prod.gcp.yaml", True),
        ("gcp_compute.yml", True),
        ("a_gcp_compute.yaml", True),
        ("hosts.yml", False),
        ("gcp.json", False),
    ],
)
def test_file_names(tmp_path: Path, name: str, accepted: bool) -> None:
    from ansible.plugins.loader import inventory_loader

    path = tmp_path / name
    path.write_text("plugin: gpulab.core.gcp\n")
    assert inventory_loader.get("gpulab.core.gcp").verify_file(str(path)) is accepted


def test_secret_is_in_no_message(cloud: FakeCloud, inventory: Inventory) -> None:
    cases: list[dict[str, Any]] = [
        {"projets": []},
        {"service_account_contents": "SECRET-KEY"},
        {"auth_kind": "serviceaccount"},
    ]
    for changes in cases:
        error = inventory.error({**cloud.options, **changes})
        assert "good-token" not in error
        assert "SECRET-KEY" not in error
    error = inventory.error({"service_account_contents": "SECRET-KEY", "projects": ["lab-00"]})
    assert "SECRET-KEY" not in error
    assert "option 'service_account_contents': this is not JSON" in error
