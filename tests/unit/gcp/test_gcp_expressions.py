# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions that are analysed, and those that are left to Ansible."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.plugin_utils.gcp import expressions
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.expressions import MISSING, UNSURE

FACTS: dict[str, Any] = {
    "zone": "us-east1-b", "labels": {"env": "prod", "bad": "{{ 1 }}", "items": "x"}, "count": 1, "flag": True, "none": None,
    "nics": [{"ip": "10.0.0.1"}],
}  # fmt: skip

UNDERSTOOD: dict[str, set[tuple[str | int, ...]]] = {
    "zone": {("zone",)},
    "labels.env": {("labels", "env")},
    "labels['vm-name']": {("labels", "vm-name")},
    "nics[0].ip": {("nics", 0, "ip")},
    "nics.0.ip": {("nics", 0, "ip")},
    "labels.env == 'prod' and count | int > 0": {("labels", "env"), ("count",)},
    "labels.get('env', zone)": {("labels",), ("zone",)},
    "labels[zone]": {("labels",), ("zone",)},
    "zone.split('-')[-1]": {("zone",)},
    "a if b is defined else [c, {'k': d}]": {("a",), ("b",), ("c",), ("d",)},
    "'constant'": set(),
}
LEFT_ALONE = [
    "lookup('env', 'X')", "query('env', 'X')", "now()", "labels | random", "labels | shuffle", "labels.items", "labels['items']",
    "zone.upper", "labels._private", "inventory_hostname", "group_names", "hostvars['x']", "x | my_filter", "x is my_test",
    "range(3)", "labels.update({})", "(", "a b", "", "[x for x in y]", "x | map('upper') | list", 5, None, True, ["a"],
]  # fmt: skip


@pytest.mark.parametrize("source", UNDERSTOOD)
def test_paths(source: str) -> None:
    known = expressions.analyse(source)
    assert known is not None
    assert set(known.paths) == UNDERSTOOD[source]


@pytest.mark.parametrize("source", LEFT_ALONE)
def test_left_to_ansible(source: object) -> None:
    assert expressions.analyse(source) is None


DIRECT: dict[str, Any] = {
    "zone": "us-east1-b",
    "labels": FACTS["labels"],
    "nics[0].ip": "10.0.0.1",
    "nics[5].ip": MISSING,
    "labels.no.thing": MISSING,
    "labels.no | default(zone)": "us-east1-b",
    "labels.no | d('x')": "x",
    "none | default('x')": None,
    "zone ~ '.' ~ labels.env": "us-east1-b.prod",
    "zone ~ count": UNSURE,
    "zone ~ labels.no": UNSURE,
    "labels.bad": UNSURE,
    "zone[0]": UNSURE,
    "zone | upper": UNSURE,
    "labels.no | default('x', true)": UNSURE,
    "flag": True,
}


@pytest.mark.parametrize("source", DIRECT)
def test_direct_value(source: str) -> None:
    facts = {**FACTS, "labels": {"env": "prod"}} if source == "labels" else FACTS
    known = expressions.analyse(source)
    assert known is not None
    value = expressions.direct_value(known, (facts,))
    assert value == (facts["labels"] if source == "labels" else DIRECT[source])
    assert type(value) is type(DIRECT[source])


def _key(source: str, facts: dict[str, Any]) -> object:
    known = expressions.analyse(source)
    assert known is not None
    return expressions.inputs(known, (facts,))


def test_inputs_distinguish_types() -> None:
    values: list[Any] = [1, True, 1.0, "1", None, "null", [], {}, "", 0, False]
    keys = [_key("x", {"x": value}) for value in values] + [_key("x", {})]
    assert len(set(keys)) == len(keys)


def test_inputs_distinguish_how_far_a_path_leads() -> None:
    worlds: list[dict[str, Any]] = [{}, {"a": {}}, {"a": {"b": {}}}, {"a": {"b": {"c": None}}}]
    assert len({_key("a.b.c", facts) for facts in worlds}) == 4


def test_inputs_with_a_template_in_them_are_not_used() -> None:
    assert _key("x", {"x": "{{ 1 }}"}) is None
    assert _key("x", {"x": {"deep": ["{% raw %}"]}}) is None
    assert _key("x", {"x": object()}) is None


def test_first_layer_wins() -> None:
    known = expressions.analyse("zone")
    assert known is not None
    assert expressions.inputs(known, ({"zone": "a"}, {"zone": "b"})) == ("a",)


def test_roots_of_templates() -> None:
    assert expressions.template_roots("{{ a.b }}-{{ c | upper }}") == frozenset({"a", "c"})
    assert expressions.template_roots("{{ a") is None
