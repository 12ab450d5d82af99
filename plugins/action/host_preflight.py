# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action gpulab.core.host_preflight: keep what is asked later, and ask for all of it at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]
    """Ask now, for everybody who wanted to be asked for, or keep it in mind."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module on the host, unless this is for later."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        ask = arguments.get("ask", "now")
        kept = Kept(str((task_vars or {}).get("inventory_hostname", "")))
        if ask == "later":
            kept.add(arguments)
            return {**result, "changed": False}
        if ask == "all":
            arguments = together([*kept.take(), arguments])
        answer = self._execute_module(
            module_name="gpulab.core.host_preflight", module_args=arguments, task_vars=task_vars
        )
        return {**result, **answer}


class Kept:
    """What is to be asked of a host later.

    It is in the run's own temporary directory, which Ansible makes private and removes at the end: an address may
    hold a password, so facts, which may be cached and are shown, are no place for it.
    """

    def __init__(self, host: str, directory: str | None = None) -> None:
        self.path = Path(directory or constants.DEFAULT_LOCAL_TMP) / f"gpulab-preflight-{quote(host, safe='')}"

    def add(self, arguments: Mapping[str, Any]) -> None:
        """Keep what one task asks."""
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "a", encoding="utf-8") as file:
            file.write(json.dumps(arguments) + "\n")

    def take(self) -> list[dict[str, Any]]:
        """Give what was kept, and forget it."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        self.path.unlink()
        return [json.loads(line) for line in lines]


def together(asks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Make one set of arguments out of several: lists and mappings are joined, of anything else the last one counts.

    Space that several need in one directory adds up. Raises AnsibleActionFail where the same option is a list in one
    and not in another.
    """
    found: dict[str, Any] = {}
    for ask in asks:
        for name, value in ask.items():
            before = found.get(name)
            if not before:
                found[name] = value
            elif isinstance(before, list) and isinstance(value, list):
                found[name] = [*before, *value]
            elif isinstance(before, Mapping) and isinstance(value, Mapping):
                shared = before.keys() & value.keys() if name == "free_gb" else ()
                found[name] = {**before, **value, **{key: float(before[key]) + float(value[key]) for key in shared}}
            elif isinstance(before, (list, Mapping)):
                raise AnsibleActionFail(f"host_preflight: {name} is of another kind in an earlier task: {value!r}")
            elif value:
                found[name] = value
    return found
