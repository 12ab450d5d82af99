# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action gpulab.core.distribution_packages: install the packages that dpkg does not list as installed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.gpulab.core.plugins.module_utils.common.addresses import masked, masked_values
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.installer_messages import (
    CLOCK,
    CLOCK_HINT,
    DISK_FULL,
)

LOCKED = re.compile(r"Could not get lock|Unable to (?:lock|acquire)|Failed to lock|is another process using it")

UNREACHABLE = re.compile(
    r"Failed to fetch|Could not resolve|Unable to connect|Failed to update apt cache|Temporary failure"
    r"|Cannot initiate the connection|GPG error|is not signed|does not have a Release file|Release file for"
)

UNREADABLE = re.compile(r"Malformed|is not known on line|list of sources could not be read|Conflicting values set")

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
        installed = self._read(task_vars)
        missing = installed.get("missing")
        if not missing:
            return {**result, **installed}
        after = "".join(f"{name}\n" for name in missing)
        difference = {"before": "", "after": after, "before_header": "before", "after_header": "after"}
        if self._task.check_mode:
            return {**result, "changed": True, "missing": missing, "diff": difference}
        if holders := installed.get("lock_holders"):
            host = (task_vars or {}).get("inventory_hostname", "the host")
            self._display.display(f"{host}: {waiting(holders, options['lock_timeout'])}")
        apt: dict[str, Any] = {"name": missing, "install_recommends": False, "update_cache": True}
        apt.update((name, options[name]) for name in ("cache_valid_time", "lock_timeout"))
        if not installed.get("lists"):
            # apt takes the age of its lists from their directory, which is new on an image without lists.
            apt["cache_valid_time"] = 0
        answer, warnings = self._install(apt, task_vars)
        if answer.get("failed"):
            causes = answer.pop("causes", None) or self._read(task_vars, diagnose="host")
            return {**result, **masked_values(answer), "msg": explain(text_of(answer), missing, causes)}
        result = {**result, "changed": bool(answer.get("changed")), "missing": missing, "diff": difference}
        return {**result, "warnings": warnings} if warnings else result

    def _read(self, task_vars: dict[str, Any] | None, **more: str) -> dict[str, Any]:
        """Run the module on the host, with all options of the task: it rejects unknown ones."""
        arguments = {**self._task.args, **more}
        found: dict[str, Any] = self._execute_module(
            module_name="gpulab.core.distribution_packages", module_args=arguments, task_vars=task_vars
        )
        return found

    def _apt(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Run the module of Ansible."""
        found: dict[str, Any] = self._execute_module(
            module_name="ansible.builtin.apt", module_args=arguments, task_vars=task_vars
        )
        return found

    def _install(self, apt: dict[str, Any], task_vars: dict[str, Any] | None) -> tuple[dict[str, Any], list[str]]:
        """Return the result of apt and warnings; the causes of a failure are in the result where they are known."""
        answer = self._apt(apt, task_vars)
        if answer.get("failed") and "No package matching" in text_of(answer) and apt["cache_valid_time"]:
            # The lists are recent, but from another mirror than the one that is set now.
            apt["cache_valid_time"] = 0
            answer = self._apt(apt, task_vars)
        if answer.get("failed") and BROKEN.search(text_of(answer)):
            # dpkg was interrupted, in this run or an earlier one; it can continue by itself.
            repair = {"argv": ["dpkg", "--force-confdef", "--force-confold", "--configure", "--pending"]}
            self._execute_module(module_name="ansible.builtin.command", module_args=repair, task_vars=task_vars)
            answer = self._apt(apt, task_vars)
        if not (answer.get("failed") and (UNREACHABLE.search(text_of(answer)) or CLOCK.search(text_of(answer)))):
            return answer, []
        # apt installs nothing when one list cannot be updated. The others may have all packages.
        causes = self._read(task_vars, diagnose="lists")
        # The module updates the lists whatever update_cache says, where cache_valid_time is not 0.
        second = self._apt({**apt, "update_cache": False, "cache_valid_time": 0}, task_vars)
        if second.get("failed"):
            return {**answer, "causes": causes}, []
        return second, [f"The packages were installed, although {name}." for name in causes.get("failed_lists") or []]


def text_of(answer: Mapping[str, Any]) -> str:
    """Return message and errors of a result."""
    return "\n".join(str(answer[name]) for name in ("msg", "stderr") if answer.get(name))


def waiting(holders: list[str], seconds: int) -> str:
    """Return one sentence about the processes that hold apt's lock."""
    return (
        f"{' and '.join(holders)} holds the lock of apt or dpkg. Waiting for its end, {seconds / 60:g} minutes at most."
    )


def explain(message: str, missing: list[str], causes: Mapping[str, Any] | None = None) -> str:
    """Return apt's message with a hint how to fix the problem; `causes` are those that the module has found."""
    found = causes or {}
    failed = [f"A package list cannot be updated: {entry}." for entry in found.get("failed_lists") or []]
    everything = "\n".join([message, *failed])
    if LOCKED.search(message):
        holders = " and ".join(found.get("lock_holders") or []) or "another package manager, which has ended,"
        hint = (
            f"The lock of apt or dpkg was held by {holders} for too long: wait for its end or stop it, then run again."
        )
    elif DISK_FULL.search(message):
        full = " and ".join(found.get("full_file_systems") or [])
        where = f" (the file system mounted at {full})" if full else ""
        hint = f"The disk is full{where}: free some space, then run again."
    elif CLOCK.search(everything):
        hint = CLOCK_HINT
    elif UNREADABLE.search(message):
        hint = (
            "apt cannot read a list of package sources on the host: correct or remove the file that its message names."
        )
    elif UNREACHABLE.search(message):
        hint = (
            "The host cannot reach its package mirror: check gpulab_sources.apt (mirror, security_mirror) and .proxy."
            if not failed
            else "Correct these package lists of the host, or set gpulab_sources.apt (mirror, security_mirror)."
        )
    elif "No package matching" in message:
        hint = "The package sources of the host do not have it: check gpulab_sources.apt (mirror, components)."
    else:
        hint = "Run again; if it fails again, run 'dpkg --audit' and 'apt-get install --fix-broken' on the host."
    return masked("\n".join([f"{', '.join(missing)} could not be installed. {hint}", *failed, message]))
