# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put hosts into an inventory; Ansible evaluates every expression once per distinct input, not once per host.

What Ansible does for one host (variables set, groups joined) is recorded and repeated for each host on which the
expression reads the same values. Every result is therefore Ansible's own; with shortcuts off, nothing is repeated, and
tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.gpulab.core.plugins.plugin_utils.gcp import expressions
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.build import Host
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.expressions import MISSING, UNSURE, Expression

# Above this many distinct inputs, results of an expression are not kept.
_MEMORY = 4096
# Number of strings in one generation of shared wrappers.
_GENERATION = 4096


class Inventory(Protocol):
    """The part of Ansible's inventory that a plugin writes to."""

    hosts: Mapping[str, Any]
    groups: Mapping[str, Any]

    def add_host(self, host: str, group: str | None = None) -> str:
        """Add a host."""

    def add_group(self, group: str) -> str:
        """Add a group; return the name that it got."""

    def add_child(self, group: str, child: str) -> object:
        """Put a host or a group into a group."""

    def set_variable(self, entity: str, varname: str, value: Any) -> None:
        """Set a variable of a host."""

    def remove_host(self, host: Any) -> None:
        """Remove a host."""

    def remove_group(self, group: Any) -> None:
        """Remove a group."""


class Constructed(Protocol):
    """Ansible's own evaluation of compose, groups and keyed_groups for one host."""

    def apply(self, kind: str, entry: Any, variables: Mapping[str, Any], host: str) -> None:
        """Evaluate one entry and write the outcome to the inventory in use."""

    def record(self, kind: str, entry: Any, variables: Mapping[str, Any], host: str) -> list[Step]:
        """Evaluate one entry and return what Ansible would have written."""

    def group_name(self, name: str) -> str:
        """Return the name in the form that Ansible requires of group names."""

    def seen_by_groups(self, variables: Mapping[str, Any], host: str) -> Mapping[str, Any]:
        """Return the input of expressions of groups and keyed_groups: the host's variables over its facts."""


Step = tuple[str, ...] | tuple[str, str, Any]


@dataclass
class _Entry:
    """One entry of compose, groups or keyed_groups, its analysis and its known results."""

    kind: str
    definition: Any
    known: Expression | None
    name: str = ""
    memory: dict[tuple[object, ...], list[Step]] = field(default_factory=dict)


def entries(compose: object, groups: object, keyed_groups: object) -> list[_Entry]:
    """Analyse the constructed options, in the order in which Ansible evaluates them."""
    found = []
    if isinstance(compose, Mapping):
        found += [
            _Entry("compose", {name: text}, expressions.analyse(text), str(name)) for name, text in compose.items()
        ]
    if isinstance(groups, Mapping):
        found += [_Entry("groups", {name: text}, _condition(text)) for name, text in groups.items()]
    if isinstance(keyed_groups, list):
        found += [_Entry("keyed_groups", [item], _key(item)) for item in keyed_groups]
    return found


def sources(found: Iterable[_Entry]) -> list[str]:
    """Return the texts of all expressions and templates."""
    texts = []
    for entry in found:
        definition = entry.definition[0] if entry.kind == "keyed_groups" else next(iter(entry.definition.values()))
        text = definition.get("key") if entry.kind == "keyed_groups" and isinstance(definition, Mapping) else definition
        if isinstance(text, str):
            texts.append(text)
        if entry.kind == "keyed_groups" and isinstance(definition, Mapping) and definition.get("parent_group"):
            parent = str(definition["parent_group"])
            if "{" in parent:
                texts.append(parent)
    return texts


def _condition(text: object) -> Expression | None:
    # Braces around a condition are evaluated twice, which only Ansible does.
    return None if isinstance(text, str) and "{" in text else expressions.analyse(text)


def _key(item: object) -> Expression | None:
    if not isinstance(item, Mapping):
        return None
    if any(isinstance(value, str) and "{" in value for name, value in item.items() if name != "key"):
        return None
    return expressions.analyse(item.get("key"))


class _Wrappers:
    """Lets equal strings share the wrapper in which Ansible keeps a value's origin; wrapping is half of set_variable.

    A wrapper comes from Ansible: it is the value in the inventory after a string was set. Strings that did not occur
    again within a generation are dropped.
    """

    def __init__(self) -> None:
        self._young: dict[str, Any] = {}
        self._old: dict[str, Any] = {}

    def get(self, value: str) -> Any:
        """Return the wrapper of a string, None when it has none."""
        wrapper = self._young.get(value)
        if wrapper is None:
            wrapper = self._old.get(value)
            if wrapper is not None:
                self._young[value] = wrapper
        return wrapper

    def learn(self, value: str, wrapper: Any) -> None:
        """Keep the wrapper of a string."""
        if len(self._young) >= _GENERATION:
            self._old, self._young = self._young, {}
        self._young[value] = wrapper


class Populator:
    """Adds hosts one by one."""

    def __init__(
        self, inventory: Inventory, constructed: Constructed, found: list[_Entry], *, shortcuts: bool = True
    ) -> None:
        self._inventory = inventory
        self._constructed = constructed
        self._entries = found
        self._shortcuts = shortcuts
        self._groups_read_anything = not shortcuts or any(e.kind == "groups" and e.known is None for e in found)
        # Bound once: the inventory is a proxy, and each look-up through it costs.
        self._set: Callable[[str, str, Any], None] = inventory.set_variable
        self._join: Callable[[str, str], object] = inventory.add_child
        self._hosts = inventory.hosts
        self._groups: dict[str, str] = {}
        self._wrappers = _Wrappers()
        self._groups_before = set(inventory.groups)
        self._added: list[str] = []
        self.warnings: list[str] = []

    def add(self, host: Host) -> None:
        """Add a host with its variables, and then those that compose makes from them."""
        name = host.name
        # Variables that another source gave this host may hold templates of its own.
        foreign = name in self._hosts
        if foreign:
            self._warn_of_other_instance(self._hosts[name].vars, host)
        self._inventory.add_host(name)
        if not foreign:
            self._added.append(name)
        self._set_variables(host)
        for group in host.groups:
            actual = self._groups.get(group)
            if actual is None:
                actual = self._groups[group] = self._inventory.add_group(self._constructed.group_name(group))
            self._join(actual, name)
        # All of groups is evaluated on what is known before the first of them: group_names does not grow meanwhile.
        before: Mapping[str, Any] | None = None
        for entry in self._entries:
            if entry.kind == "groups" and before is None and (foreign or self._groups_read_anything):
                before = self._constructed.seen_by_groups(host.facts, name)
            if foreign or not self._shortcuts or not self._short(entry, host):
                self._long(entry, host, before if entry.kind == "groups" else None)

    def _warn_of_other_instance(self, known: Mapping[str, Any], host: Host) -> None:
        """Warn where an earlier inventory source has another instance of this name: Ansible makes one host of both."""
        if "gcp_id" in known and str(known["gcp_id"]) != str(host.facts.get("gcp_id")):
            other = f"project {known.get('gcp_project')}, zone {known.get('gcp_zone')}"
            self.warnings.append(
                f"host '{host.name}': an earlier inventory source has another instance of that name ({other}), and "
                "Ansible makes one host of both; set option 'hostnames' or 'name_suffix' so that their names differ"
            )

    def undo(self) -> None:
        """Remove the hosts and groups again: after an error there must be no inventory rather than half of one."""
        for name in self._added:
            self._inventory.remove_host(self._hosts[name])
        for group in [item for name, item in self._inventory.groups.items() if name not in self._groups_before]:
            self._inventory.remove_group(group)

    def _set_variables(self, host: Host) -> None:
        name, assign, wrappers = host.name, self._set, self._wrappers
        for key, value in host.variables.items():
            if value.__class__ is not str:
                assign(name, key, value)
                continue
            wrapper = wrappers.get(value)
            if wrapper is not None:
                assign(name, key, wrapper)
                continue
            assign(name, key, value)
            wrappers.learn(value, self._hosts[name].vars[key])

    def _long(self, entry: _Entry, host: Host, variables: Mapping[str, Any] | None) -> None:
        """Let Ansible evaluate an entry for this host."""
        if variables is None:
            variables = self._seen(entry, host)
        self._constructed.apply(entry.kind, entry.definition, variables, host.name)

    def _seen(self, entry: _Entry, host: Host) -> Mapping[str, Any]:
        return host.facts if entry.kind == "compose" else self._constructed.seen_by_groups(host.facts, host.name)

    def _short(self, entry: _Entry, host: Host) -> bool:
        """Apply the known result of an entry, or record it; return False when Ansible must evaluate it."""
        known = entry.known
        if known is None:
            return False
        name = host.name
        if entry.kind == "compose":
            layers: tuple[Mapping[str, Any], ...] = (host.facts,)
            value = expressions.direct_value(known, layers)
            if value is not UNSURE and value is not MISSING:
                self._set(name, entry.name, value)
                return True
        else:
            layers = (self._hosts[name].vars, host.facts)
        key = expressions.inputs(known, layers)
        if key is None:
            return False
        steps = entry.memory.get(key)
        if steps is not None:
            for step in steps:
                self._repeat(step, name)
            return True
        if len(entry.memory) >= _MEMORY:
            return False
        steps = self._constructed.record(entry.kind, entry.definition, self._seen(entry, host), name)
        for step in steps:
            self._first_time(step, name)
        entry.memory[key] = [step for step in steps if step[0] in ("variable", "member")]
        return True

    def _first_time(self, step: Step, host: str) -> None:
        if step[0] == "group":
            self._inventory.add_group(step[1])
        elif step[0] == "child":
            self._join(step[1], step[2])
        else:
            self._repeat(step, host)

    def _repeat(self, step: Step, host: str) -> None:
        if step[0] == "member":
            self._join(step[1], host)
        else:
            self._set(host, step[1], step[2])


class Recorder:
    """Replaces an inventory and records what would have been written for one host."""

    def __init__(self, inventory: Inventory, host: str) -> None:
        self._inventory = inventory
        self._host = host
        self.steps: list[Step] = []

    def set_variable(self, _entity: str, varname: str, value: Any) -> None:
        """Record a variable."""
        self.steps.append(("variable", varname, value))

    def add_group(self, group: str) -> str:
        """Add the group to the real inventory: only that returns its final name, and the host will be added to it."""
        actual = self._inventory.add_group(group)
        self.steps.append(("group", actual))
        return actual

    def add_host(self, host: str, group: str | None = None) -> str:
        """Record a membership."""
        if group:
            self.steps.append(("member", group))
        return host

    def add_child(self, group: str, child: str) -> bool:
        """Record a membership of the host, or a group inside a group."""
        self.steps.append(("member", group) if child == self._host else ("child", group, child))
        return True
