# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action gpulab.core.host_preflight: keep what is asked later, and ask for all of it at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

KEPT = "gpulab_preflight_asks"
"""The fact in which what is asked later waits."""


class ActionModule(ActionBase):  # type: ignore[misc]
    """Ask now, for everybody who wanted to be asked for, or keep it in mind."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module on the host, unless this is for later."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        ask = arguments.get("ask", "now")
        kept = list((task_vars or {}).get("ansible_facts", {}).get(KEPT, []))
        if ask == "later":
            return {**result, "changed": False, "ansible_facts": {KEPT: [*kept, arguments]}}
        if ask == "all":
            arguments = together([*kept, arguments])
            result["ansible_facts"] = {KEPT: []}
        answer = self._execute_module(
            module_name="gpulab.core.host_preflight", module_args=arguments, task_vars=task_vars
        )
        return {**result, **answer}


def together(asks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Make one set of arguments out of several: lists and mappings are joined, of anything else the last one counts.

    Space that several need in one folder adds up. Raises AnsibleActionFail where the same option is a list in one and
    not in another.
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
