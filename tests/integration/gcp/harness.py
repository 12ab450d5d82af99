# SPDX-License-Identifier: GPL-3.0-or-later
"""Load an inventory file as Ansible does, in this process, and return the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible import constants
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.utils.display import Display

OURS = "gpulab.core.gcp"
ANCHOR = "google.cloud.gcp_compute"
_CORE = ("inventory_file", "inventory_dir")


@dataclass
class Loaded:
    """An inventory as it is after all sources were read."""

    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    children: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    error: str = ""

    @property
    def outcome(self) -> tuple[object, ...]:
        """Return everything that a user can use, in order."""
        return self.hosts, self.groups, self.members, self.children

    def facts(self, name: str, *keys: str) -> list[Any]:
        """Return some variables of a host."""
        return [self.hosts[name].get(key) for key in keys]


class Inventory:
    """Writes and loads inventory files."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.warnings: list[str] = []
        monkeypatch.setattr(constants, "INVENTORY_ENABLED", ["auto"])
        monkeypatch.setattr(constants, "INVENTORY_ANY_UNPARSED_IS_FAILED", True)
        monkeypatch.setattr(Display, "warning", lambda _self, msg, *_args, **_kwargs: self.warnings.append(str(msg)))
        monkeypatch.setattr(Display, "error_as_warning", self._failed)
        self._error = ""

    def _failed(self, _msg: str = "", *, exception: BaseException, **_more: object) -> None:
        self._error = str(getattr(exception, "message", exception))

    def write(self, options: Mapping[str, Any], name: str = "gcp.yml", plugin: str = OURS) -> Path:
        """Write an inventory file."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"plugin": plugin, **options}), encoding="utf-8")
        return path

    def load(self, options: Mapping[str, Any] | Path, plugin: str = OURS, *, cache: bool = True) -> Loaded:
        """Load a file (or options, written to one) and fail unless that succeeds."""
        loaded = self.attempt(options, plugin, cache=cache)
        assert not loaded.error, loaded.error
        return loaded

    def attempt(
        self, options: Mapping[str, Any] | Path, plugin: str = OURS, *, cache: bool = True, others: tuple[str, ...] = ()
    ) -> Loaded:
        """Load a file (or options) after other sources; an error is part of the outcome."""
        path = options if isinstance(options, Path) else self.write(options, plugin=plugin)
        self.warnings.clear()
        self._error = ""
        manager = InventoryManager(loader=DataLoader(), sources=None, parse=False)
        manager._sources = [*others, str(path)]
        try:
            manager.parse_sources(cache=cache)
        except AnsibleError as error:
            self._error = self._error or str(error)
        hosts = {
            name: {key: value for key, value in host.vars.items() if key not in _CORE}
            for name, host in manager.hosts.items()
        }
        # Hosts of child groups come in no certain order: Ansible walks through sets there.
        groups = {name: sorted(host.name for host in group.get_hosts()) for name, group in manager.groups.items()}
        members = {name: [host.name for host in group.hosts] for name, group in manager.groups.items() if name != "all"}
        children = {name: sorted(g.name for g in group.child_groups) for name, group in manager.groups.items()}
        return Loaded(hosts, groups, members, children, list(self.warnings), self._error)

    def error(self, options: Mapping[str, Any] | Path) -> str:
        """Load a file that must be rejected; return the one message, which names the file and left no host behind."""
        loaded = self.attempt(options)
        assert loaded.error, "there was no error"
        assert loaded.hosts == {}
        assert "Traceback" not in loaded.error
        path = options if isinstance(options, Path) else self.directory / "gcp.yml"
        assert loaded.error.startswith(f"{path}: "), loaded.error
        return loaded.error.removeprefix(f"{path}: ")
