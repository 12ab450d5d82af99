# SPDX-License-Identifier: GPL-3.0-or-later
"""Random worlds, random options, random expressions: a kept result equals Ansible's own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ansible_collections.gpulab.core.plugins.inventory.gcp import InventoryModule
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp import populate
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.build import Host
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.rows import Snapshot
from tests.integration.gcp.harness import Inventory, Loaded

QUICK = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

# --- values and expressions ------------------------------------------------------------------------------------------------
texts = st.sampled_from(
    ["", "prod", "dev", "us-east1", "Ünïcode", "1", "true", "a b", "{{ 1 + 1 }}", "{% raw %}", "x" * 40, "a.b"]
)
scalars = st.one_of(texts, st.integers(-2, 3), st.booleans(), st.none(), st.sampled_from([1.0, 0.0, 2.5]))
keys = st.sampled_from(["env", "role", "vm-name", "items", "get", "_x", "count", "owner"])
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=6,
)
roots = st.sampled_from(
    ["labels", "description", "name", "tags", "scheduling", "nothing", "gcp_zone", "gcp_gpu_count", "disks", "composed"]
)
steps = st.sampled_from(
    [
        ".env",
        ".role",
        "['vm-name']",
        "[0]",
        "[-1]",
        "[5]",
        ".items",
        "['items']",
        ".get",
        "._x",
        ".count",
        ".missing.more",
        "",
    ]
)
GOOD_PATHS = [
    "labels.env",
    "labels['vm-name']",
    "labels.role",
    "labels",
    "tags['items']",
    "name",
    "zone",
    "gcp_zone",
    "description",
    "composed",
]
paths = st.one_of(st.sampled_from(GOOD_PATHS), st.builds(lambda root, *more: root + "".join(more), roots, steps, steps))
atoms = st.one_of(
    paths,
    paths,
    st.sampled_from(
        ["'prod'", "1", "true", "none", "''", "[]", "'a-' ~ 'b'", "omit", "inventory_hostname", "group_names"]
    ),
)
FILTERS = [
    "default('d')",
    "default('d', true)",
    "lower",
    "upper",
    "int",
    "length",
    "string",
    "first",
    "list",
    "join('-')",
    "bool",
    "dict2items",
    "type_debug",
]


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operator = st.sampled_from([" ~ ", " == ", " != ", " and ", " or ", " + ", " in ", " > "])
    return st.one_of(
        st.builds(lambda left, sign, right: f"({left}{sign}{right})", inner, operator, inner),
        st.builds(lambda value, name: f"({value} | {name})", inner, st.sampled_from(FILTERS)),
        st.builds(
            lambda value, test: f"({value} is {test})",
            inner,
            st.sampled_from(["defined", "undefined", "string", "mapping", "none", "true"]),
        ),
        st.builds(lambda value: f"(not {value})", inner),
        st.builds(lambda value, condition: f"({value} if {condition} else 'no')", inner, inner),
        st.builds(lambda value: f"{value}.startswith('p')", paths),
        st.builds(lambda value: f"{value}.get('env', 'x')", paths),
    )


expressions = st.one_of(
    paths,
    paths,
    st.recursive(atoms, _grow, max_leaves=4),
    st.sampled_from(
        [
            "(",
            "labels.",
            "a b",
            "{{ labels.env }}",
            "lookup('env', 'HOME')",
            "range(3) | list",
            "labels | random_thing",
            "1 +",
        ]
    ),
)

# --- worlds and options ----------------------------------------------------------------------------------------------------
optional: dict[str, st.SearchStrategy[Any]] = {
    "labels": st.one_of(
        values,
        *[
            st.fixed_dictionaries(
                {"env": texts, "role": scalars}, optional={"vm-name": texts, "items": texts, "_x": values}
            )
        ]
        * 4,
    ),
    "description": values,
    "tags": st.fixed_dictionaries({"items": st.lists(texts, max_size=2)}),
    "status": st.sampled_from(["RUNNING", "TERMINATED"]),
    "scheduling": st.fixed_dictionaries({}, optional={"preemptible": st.booleans(), "provisioningModel": texts}),
    "disks": st.lists(st.fixed_dictionaries({"boot": st.booleans()}), max_size=2),
}
BASE = "https://www.googleapis.com/compute/v1/projects/lab/zones/"
rows = st.builds(
    lambda zone, extra: {"zone": BASE + zone, "machineType": f"{BASE}{zone}/machineTypes/n1-standard-1", **extra},
    st.sampled_from(["us-east1-b", "us-east1-c"]),
    st.one_of(
        st.fixed_dictionaries({}, optional=optional),
        st.fixed_dictionaries(
            {key: optional[key] for key in ("labels", "tags")},
            optional={key: value for key, value in optional.items() if key not in ("labels", "tags")},
        ),
    ),
)
worlds = st.lists(rows, min_size=1, max_size=8)
keyed = st.builds(
    lambda key, more: {"key": key, **more},
    expressions,
    st.fixed_dictionaries(
        {},
        optional={
            "prefix": st.sampled_from(["", "p", "with space"]),
            "separator": st.sampled_from(["", "-", "_"]),
            "parent_group": st.sampled_from(["up", "{{ labels.env }}", "two words"]),
            "default_value": st.sampled_from(["none", ""]),
        },
    ),
)
option_sets = st.fixed_dictionaries(
    {
        "hostnames": st.just(["name"]),
        "strict": st.sampled_from([False, False, False, True]),
        "compose": st.dictionaries(
            st.sampled_from(["composed", "ansible_host", "other"]),
            st.one_of(expressions, st.just(5)),
            min_size=1,
            max_size=3,
        ),
        "groups": st.dictionaries(
            st.sampled_from(["g", "bad name", "h"]), st.one_of(expressions, st.booleans()), min_size=1, max_size=3
        ),
        "keyed_groups": st.lists(keyed, min_size=1, max_size=3),
    },
    optional={
        "leading_separator": st.booleans(),
        "hostvars": st.sampled_from(["flat", "compute"]),
        "group_by": st.just(["zone", "status"]),
    },
)


class _Stock(populate.Populator):
    """Adds a host as inventory plugins usually do: Ansible's three methods, once per host."""

    def add(self, host: Host) -> None:
        """Add a host."""
        plugin: Any = self._constructed
        self._inventory.add_host(host.name)
        self._added.append(host.name)
        for key, value in host.variables.items():
            self._inventory.set_variable(host.name, key, value)
        for group in host.groups:
            self._inventory.add_child(self._inventory.add_group(plugin.group_name(group)), host.name)
        strict = bool(plugin.get_option("strict"))
        plugin._set_composite_vars(plugin.get_option("compose"), host.facts, host.name, strict)
        plugin._add_host_to_composed_groups(plugin.get_option("groups"), host.facts, host.name, strict)
        plugin._add_host_to_keyed_groups(plugin.get_option("keyed_groups"), host.facts, host.name, strict)


def _load(inventory: Inventory, world: list[dict[str, Any]], options: Mapping[str, Any], *, stock: bool) -> Loaded:
    instances = [
        {**json.loads(json.dumps(row)), "id": str(number), "name": f"vm-{number}"} for number, row in enumerate(world)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InventoryModule, "_snapshot", lambda *_: Snapshot(instances={"lab": instances}))
        if stock:
            patch.setattr(populate, "Populator", _Stock)
        return inventory.attempt({**options, "projects": ["lab"], "access_token": "x"})


def _assert_same(*outcomes: Any) -> None:
    """Assert that two outcomes are the same, order included.

    A method without its call prints where in memory it is, and two hosts' methods may come to lie at one place: what holds such an
    address is no function of the input, with or without the shortcuts.
    """
    first, second = (json.dumps(outcome) for outcome in outcomes)
    assume(not re.search("0x[0-9a-f]{6}", first + second, re.IGNORECASE))
    assert first == second


@QUICK
@given(world=worlds, options=option_sets)
def test_shortcuts_equal_ansibles_own_constructable(
    inventory: Inventory, world: list[dict[str, Any]], options: dict[str, Any]
) -> None:
    ours = _load(inventory, world, options, stock=False)
    stock = _load(inventory, world, options, stock=True)
    _assert_same(ours.outcome, stock.outcome)
    assert bool(ours.error) == bool(stock.error)


@QUICK
@given(world=worlds, condition=expressions, hostname=expressions, reverse=st.booleans())
def test_conditions_and_names_equal_ansibles_own(
    inventory: Inventory, world: list[dict[str, Any]], condition: str, hostname: str, reverse: bool
) -> None:
    options = {
        "hostnames": [f"(({hostname}) | string) ~ '!'", "name"],
        "exclude" if reverse else "include": [condition],
    }
    outcomes = []
    for safe in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(InventoryModule, "_shortcuts_are_safe", lambda _self, safe=safe: safe)
            outcomes.append(_load(inventory, world, options, stock=False).outcome)
    _assert_same(*outcomes)


def test_kept_results_are_really_used(inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    plain = InventoryModule._compose

    def counted(self: InventoryModule, source: str, variables: Any) -> Any:
        asked.append(source)
        return plain(self, source, variables)

    monkeypatch.setattr(InventoryModule, "_compose", counted)
    world = [
        {"zone": f"{BASE}us-east1-{'bc'[number % 2]}", "labels": {"env": "prod", "vm": f"x{number}"}}
        for number in range(50)
    ]
    options = {
        "compose": {"address": "labels.vm", "upper": "labels.env | upper", "second": "labels.none | default(name)"},
        "keyed_groups": [{"key": "zone", "prefix": "z"}],
    }
    loaded = _load(inventory, world, {**options, "hostnames": ["name"]}, stock=False)
    assert loaded.hosts["vm-7"]["address"] == "x7"
    assert sorted(asked) == ["labels.env | upper", "zone", "zone"]


def test_host_known_from_another_source_is_left_to_ansible(inventory: Inventory, tmp_path: Path) -> None:
    """Its own variables may hold templates, which Ansible evaluates in groups and keyed_groups."""
    other = tmp_path / "other.yml"
    other.write_text("plugin: ansible.builtin.constructed\nstrict: false\n")
    static = tmp_path / "static.yml"
    static.write_text('all: {hosts: {vm-0: {labels: {env: "{{ where }}"}, where: cellar}}}\n')
    results = []
    for stock in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            row = {"zone": BASE + "us-east1-b", "name": "vm-0", "labels": {"env": "prod"}}
            patch.setattr(InventoryModule, "_snapshot", lambda *_, row=row: Snapshot(instances={"lab": [dict(row)]}))
            patch.setattr("ansible.constants.INVENTORY_ENABLED", ["auto", "yaml"])
            if stock:
                patch.setattr(populate, "Populator", _Stock)
            options = {
                "projects": ["lab"],
                "access_token": "x",
                "hostnames": ["name"],
                "keyed_groups": [{"key": "labels.env", "prefix": "env"}],
            }
            results.append(inventory.attempt(inventory.write(options), others=(str(static),)))
    assert results[0].groups["env_cellar"] == ["vm-0"]
    assert results[0].outcome == results[1].outcome


def test_conditions_of_groups_do_not_see_each_other(inventory: Inventory) -> None:
    """A case of the random search: group_names is the same for all of them."""
    world = [{"zone": BASE + "us-east1-b"}]
    options = {
        "hostnames": ["name"],
        "groups": {"a": "true", "b": "not group_names"},
        "keyed_groups": [{"key": "group_names"}],
    }
    ours = _load(inventory, world, options, stock=False)
    assert ours.outcome == _load(inventory, world, options, stock=True).outcome
    assert ours.groups["b"] == ["vm-0"]


def test_names_that_jinja_finds_on_values_are_known(tmp_path: Path) -> None:
    """Ansible's own containers must have no public attribute that plain ones lack: a path through it would be misread."""
    from ansible._internal._templating import _lazy_containers

    from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.expressions import _ATTRIBUTES

    for kind in (_lazy_containers._AnsibleLazyTemplateDict, _lazy_containers._AnsibleLazyTemplateList):
        assert {name for name in dir(kind) if not name.startswith("_")} <= _ATTRIBUTES


@pytest.mark.parametrize("setting", ["merge", "extra"])
def test_shortcuts_are_off_where_they_could_differ(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    from ansible import constants

    if setting == "merge":
        monkeypatch.setattr(constants, "DEFAULT_HASH_BEHAVIOUR", "merge")
    else:
        monkeypatch.setattr(
            "ansible.plugins.inventory.load_extra_vars", lambda _loader: {"zone": "from the command line"}
        )
    world: list[dict[str, Any]] = [
        {"zone": BASE + "us-east1-b", "labels": {"env": "prod"}},
        {"zone": BASE + "us-east1-c"},
    ]
    options = {
        "hostnames": ["name"],
        "use_extra_vars": True,
        "compose": {"x": "zone"},
        "keyed_groups": [{"key": "labels"}],
    }
    ours = _load(inventory, world, options, stock=False)
    assert ours.outcome == _load(inventory, world, options, stock=True).outcome
    assert ours.facts("vm-0", "x") == ["us-east1-b" if setting == "merge" else "from the command line"]


def test_error_of_ansible_is_ours_to_tell(inventory: Inventory) -> None:
    world = [{"zone": BASE + "us-east1-b", "description": 5}]
    loaded = _load(inventory, world, {"hostnames": ["name"], "keyed_groups": [{"key": "description"}]}, stock=False)
    assert "Invalid group name format" in loaded.error
    assert loaded.hosts == {}
