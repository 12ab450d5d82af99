# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action gpulab.core.distribution_packages: install the packages that dpkg does not list as installed."""

from __future__ import annotations

import re
from typing import Any

from ansible.plugins.action import ActionBase

UNREACHABLE = re.compile(
    r"Failed to fetch|Could not resolve|Unable to connect|Failed to update apt cache|Temporary failure"
)

BROKEN = re.compile(
    r"dpkg was interrupted|dpkg --configure -a|[Uu]nmet dependencies|fix-broken"
    r"|Sub-process \S*dpkg (?:received|exited unexpectedly)"
)


class ActionModule(ActionBase):  # type: ignore[misc]
    """Install missing packages with apt, and repair a dpkg that was interrupted."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read what is installed, and call apt where a package is missing."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = {"cache_valid_time": 3600, "lock_timeout": 300, **self._task.args}
        # With all options, although the module uses the names only: it rejects unknown ones.
        installed = self._execute_module(
            module_name="gpulab.core.distribution_packages", module_args=dict(self._task.args), task_vars=task_vars
        )
        missing = installed.get("missing")
        if not missing:
            return {**result, **installed}
        after = "".join(f"{name}\n" for name in missing)
        difference = {"before": "", "after": after, "before_header": "before", "after_header": "after"}
        if self._task.check_mode:
            return {**result, "changed": True, "missing": missing, "diff": difference}
        apt: dict[str, Any] = {"name": missing, "install_recommends": False, "update_cache": True}
        apt.update((name, options[name]) for name in ("cache_valid_time", "lock_timeout"))
        if not installed.get("lists"):
            # apt takes the age of its lists from their directory, which is new on an image without lists.
            apt["cache_valid_time"] = 0
        answer = self._execute_module(module_name="ansible.builtin.apt", module_args=apt, task_vars=task_vars)
        if answer.get("failed") and "No package matching" in str(answer.get("msg", "")) and apt["cache_valid_time"]:
            # The lists are recent, but from another mirror than the one that is set now.
            apt["cache_valid_time"] = 0
            answer = self._execute_module(module_name="ansible.builtin.apt", module_args=apt, task_vars=task_vars)
        if answer.get("failed") and BROKEN.search(str(answer.get("msg", "")) + str(answer.get("stderr", ""))):
            # dpkg was interrupted, in this run or an earlier one; it can continue by itself.
            repair = {"argv": ["dpkg", "--force-confdef", "--force-confold", "--configure", "--pending"]}
            self._execute_module(module_name="ansible.builtin.command", module_args=repair, task_vars=task_vars)
            answer = self._execute_module(module_name="ansible.builtin.apt", module_args=apt, task_vars=task_vars)
        if answer.get("failed"):
            return {**result, **answer, "msg": explain(str(answer.get("msg", "")), missing)}
        return {**result, "changed": bool(answer.get("changed")), "missing": missing, "diff": difference}


def explain(message: str, missing: list[str]) -> str:
    """Return apt's message with a hint how to fix the problem."""
    if UNREACHABLE.search(message):
        hint = (
            "The host cannot reach its package mirror: check gpulab_sources.apt (mirror, security_mirror) and .proxy."
        )
    elif "No package matching" in message:
        hint = "The package sources of the host do not have it: check gpulab_sources.apt (mirror, components)."
    elif "No space left" in message:
        hint = "The disk is full: free some space, then run again."
    else:
        hint = "Run again; if it fails again, run 'dpkg --audit' and 'apt-get install --fix-broken' on the host."
    return f"{', '.join(missing)} could not be installed. {hint}\n{message}"
