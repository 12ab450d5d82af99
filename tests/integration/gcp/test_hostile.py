# SPDX-License-Identifier: GPL-3.0-or-later
"""Data of the cloud is data: template strings in it are never evaluated, wherever they end up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible.vars.manager import VariableManager

from tests.integration.gcp.fakecloud import FakeCloud, World
from tests.integration.gcp.fakecloud.world import add_instance
from tests.integration.gcp.harness import Inventory


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    """Return a file that exists once something was executed."""
    return tmp_path / "executed"


@pytest.fixture
def attack(witness: Path) -> str:
    """Return a value that runs a command when it is evaluated."""
    return "{{ lookup('pipe', 'touch " + str(witness) + "') }}"


@pytest.fixture
def hostile(world: World, attack: str) -> World:
    """Return a world in which every text that a user of the cloud can set is an attack."""
    world.projects["lab-01"].instances.clear()
    project = world.projects["lab-00"]
    project.instances.clear()
    add_instance(
        project, "evil", "us-east1-b", description=attack, hostname=attack,
        labels={"env": attack, attack: "x", "role": "{% for x in [1] %}{{ x }}{% endfor %}"},
        metadata={"items": [{"key": "startup-script", "value": attack}, {"key": attack, "value": attack}]},
        tags={"items": [attack, "{# comment #}"]}, status=attack,
        scheduling={"provisioningModel": attack}, serviceAccounts=[{"email": attack}],
    )  # fmt: skip
    add_instance(project, attack, "us-east1-c")
    return world


OPTION_SETS: dict[str, dict[str, Any]] = {
    "plain": {},
    "everything": {"raw": True, "metadata": True, "group_by": ["status", "instance_group", "zone"]},
    "gcp_compute's variables": {"hostvars": "compute"},
    "names": {"hostnames": ["labels.env", "hostname", "name"]},
    "names by template": {"hostnames": ["{{ gcp_labels.env }}-{{ gcp_name }}"]},
    "names by expression": {"hostnames": ["gcp_labels.env ~ gcp_name"]},
    "constructed": {
        "compose": {
            "path": "labels.env", "default": "labels.none | default(labels.env)", "joined": "name ~ labels.env", "all": "labels",
            "filtered": "labels.env | string", "listed": "tags['items']", "twice": "path",
        },
        "groups": {"a": "labels.env == 'x'", "b": "path is defined and path | length > 3"},
        "keyed_groups": [{"key": "labels"}, {"key": "labels.env", "parent_group": "up"}, {"key": "tags['items']"}, {"key": "path"}],
    },
    "conditions": {"include": ["labels.env | default('') != ''", "gcp_labels.env != 'x'"], "exclude": ["description == 'x'"]},
}  # fmt: skip


@pytest.mark.parametrize("shortcuts", [True, False])
@pytest.mark.parametrize("case", OPTION_SETS)
def test_nothing_is_executed(
    hostile: World,
    inventory: Inventory,
    witness: Path,
    attack: str,
    case: str,
    shortcuts: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not shortcuts:
        monkeypatch.setattr(
            "ansible_collections.gpulab.core.plugins.inventory.gcp.constants.DEFAULT_HASH_BEHAVIOUR", "merge"
        )
    with FakeCloud(hostile, gate=False) as cloud:
        path = inventory.write({**cloud.options, "projects": ["lab-00"], "hostnames": ["name"], **OPTION_SETS[case]})
        loader = DataLoader()
        manager = InventoryManager(loader=loader, sources=[str(path)])
    assert len(manager.hosts) >= (1 if case == "conditions" else 2)
    variables = VariableManager(loader=loader, inventory=manager)
    for host in manager.get_hosts():
        known = variables.get_vars(host=host)
        templar = Templar(loader=loader, variables=known)
        for name in host.vars:
            # As a play uses a variable.
            templar.template(trust_as_template("{{ " + name + " }}"))
    assert not witness.exists()


def test_value_arrives_as_it_was_sent(hostile: World, inventory: Inventory, witness: Path, attack: str) -> None:
    with FakeCloud(hostile, gate=False) as cloud:
        options = {**cloud.options, "projects": ["lab-00"], "hostnames": ["name"], "metadata": True}
        loaded = inventory.load({**options, "compose": {"path": "labels.env", "joined": "'<' ~ labels.env ~ '>'"}})
    evil = loaded.hosts["evil"]
    assert [evil["gcp_labels"]["env"], evil["path"], evil["joined"]] == [attack, attack, f"<{attack}>"]
    assert evil["gcp_metadata"]["startup-script"] == attack
    assert attack in loaded.hosts
    assert not witness.exists()


def test_attack_would_work_if_it_were_trusted(witness: Path, attack: str) -> None:
    Templar(loader=DataLoader(), variables={}).template(trust_as_template(attack))
    assert witness.exists()
