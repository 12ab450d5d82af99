# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of gpulab.core.locked_environment: send the lock and the packages along with the module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.gpulab.core.plugins.plugin_utils.frameworks.archives import pack

NODE_FILES = ("package.json", "package-lock.json")


class ActionModule(ActionBase):  # type: ignore[misc]
    """Put the content of the controller's files into the module's arguments: one round trip instead of many."""

    _requires_connection = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module on the host with the content of the files."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        lock = self._find_file(arguments.get("lock"), "lock")
        extras = [self._find_file(name, "extras") for name in arguments.get("extras") or []]
        directories = [self._find_file(name, "packages") for name in arguments.get("packages") or []]
        arguments["lock_text"] = lock.read_text(encoding="utf-8")
        arguments["extras_text"] = [path.read_text(encoding="utf-8") for path in extras]
        arguments["packages_data"] = [{"name": directory.name, "archive": pack(directory)} for directory in directories]
        arguments["node_data"] = {}
        if node := arguments.get("node"):
            directory = self._find_file(node, "node")
            arguments["node_data"] = {name: (directory / name).read_text(encoding="utf-8") for name in NODE_FILES}
        module = self._execute_module(
            module_name="gpulab.core.locked_environment",
            module_args=arguments,
            task_vars=task_vars,
            wrap_async=self._task.async_val,
        )
        return {**result, **module}

    def _find_file(self, name: str | None, option: str) -> Path:
        """Return the path of a file or directory of the role or the playbook on the controller."""
        if not name:
            raise AnsibleActionFail(f"locked_environment: the option '{option}' is missing")
        try:
            return Path(self._find_needle("files", name))
        except AnsibleError as error:
            raise AnsibleActionFail(f"locked_environment: {option}: {name} does not exist on the controller") from error
