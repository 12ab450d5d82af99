# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of gpulab.core.host_files: render the templates of the list, then run the module once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader


class ActionModule(ActionBase):  # type: ignore[misc]
    """Render the templates of all entries and send the texts in one round trip."""

    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module with the text of each entry that has a template."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if not isinstance(arguments.get("files"), list):
            raise AnsibleActionFail("host_files: files must be a list")
        arguments["files"] = [self._rendered(entry, task_vars or {}) for entry in arguments["files"]]
        module = self._execute_module(module_name="gpulab.core.host_files", module_args=arguments, task_vars=task_vars)
        return {**result, **module}

    def _rendered(self, entry: Any, task_vars: dict[str, Any]) -> Any:
        """Return the entry with `content` in place of `src` and `vars`."""
        if not isinstance(entry, Mapping) or not entry.get("src"):
            return entry
        if entry.get("content") is not None:
            raise AnsibleActionFail(f"host_files: {entry.get('path')}: give src or content, not both")
        path = self._find_needle("templates", entry["src"])
        template = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        content = template.run([path], variables=task_vars, template_vars=dict(entry.get("vars") or {}))[0]
        kept = {name: value for name, value in entry.items() if name not in ("src", "vars")}
        return {**kept, "content": content}
