# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of gpulab.core.converge_lock: only the controller can tell whether its own earlier run still runs."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.gpulab.core.plugins.plugin_utils import run_identity

MODULE = "gpulab.core.converge_lock"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Acquire the lock, take over a stale one, or fail with the name of its holder."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module on the host, and a second time to take over a stale lock."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        stale_hours = float(arguments.get("stale_hours", 4))
        me = run_identity.identity(run_identity.main_process())
        arguments.update(me=me, instead_of={})
        answer = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        holder = answer.get("holder") or {}
        if arguments.get("state", "present") == "present" and holder and holder["run"] != me["run"]:
            start = run_identity.started(int(holder["pid"]))
            now = datetime.now(timezone.utc)
            if run_identity.is_stale(holder, stale_hours, run_identity.machine(), now, start):
                again = {**arguments, "instead_of": holder}
                answer = self._execute_module(module_name=MODULE, module_args=again, task_vars=task_vars)
                holder = answer.get("holder") or {}
                if self._task.check_mode:
                    holder = {}
        if arguments.get("state", "present") == "present" and holder and holder["run"] != me["run"]:
            return {
                **result,
                "failed": True,
                "holder": holder,
                "msg": (
                    f"Nothing was changed, because another run holds the lock of this host: {holder['user']} on "
                    f"{holder['controller']}, process {holder['pid']}, since {holder['since']}. Wait until it has "
                    "ended. If that run is certainly dead, take its lock over with --extra-vars gpulab_lock_hours=0."
                ),
            }
        return {**result, **answer}
