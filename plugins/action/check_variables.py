# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action gpulab.core.check_variables: everything that can be rejected on the controller, rejected at once."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

from ansible_collections.gpulab.core.plugins.plugin_utils import site_variables

# Variables that Ansible, or the project's own inventories, put next to the site_variables.
LOCAL = {"gpulab_check_options"}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Compare a host's variables with the list of settings; asks no host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Give `failed` with one message that holds every problem, or nothing."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        spec: dict[str, Any] = self._task.args["variables"]
        options: dict[str, list[str]] = self._task.args.get("options", {})
        problems = site_variables.unknown_names(variables, {*spec, *LOCAL})
        if variables.get("gpulab_check_options", True):
            problems += site_variables.misspelt_options(variables, options)
        try:
            given = {name: self._templar.template(variables[name]) for name in spec if name in variables}
        except AnsibleError as error:
            return {**result, "failed": True, "msg": f"A setting cannot be evaluated: {error.message}"}
        # Messages of the validator may quote values, so secrets are taken out and checked by name below.
        problems += wrong_types(spec, given)
        if not problems:
            problems += site_variables.user_problems(given.get("gpulab_users") or [], given.get("gpulab_groups") or {})
            problems += site_variables.hub_problems(
                given.get("gpulab_hub_address", "0.0.0.0"),  # noqa: S104  # the documented default
                given.get("gpulab_tls") or {},
                given.get("gpulab_login") or {},
                given.get("gpulab_login_allow_list") or [],
            )
            problems += site_variables.unbuilt(given)
        if problems:
            host = variables.get("inventory_hostname", "")
            text = "".join(f"\n- {problem}" for problem in problems)
            return {
                **result,
                "failed": True,
                "problems": problems,
                "msg": f"The settings for {host} cannot be met:{text}",
            }
        return {**result, "changed": False, "msg": "The settings fit together."}


def wrong_types(spec: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """Check types, choices and keys with Ansible's own validator."""
    plain = {name: without_descriptions(option) for name, option in spec.items()}
    shown = {**given}
    if isinstance(shown.get("gpulab_users"), list):
        # A key `password` is a mistake that user_problems explains; a hash must not be quoted in a message.
        hidden = {"password", "password_hash"}
        shown["gpulab_users"] = [
            {key: value for key, value in user.items() if key not in hidden} if isinstance(user, dict) else user
            for user in shown["gpulab_users"]
        ]
    outcome = ArgumentSpecValidator(plain).validate(shown)
    return [str(message) for message in outcome.error_messages]


def without_descriptions(option: dict[str, Any]) -> dict[str, Any]:
    """Take out what is for readers only."""
    kept = {key: value for key, value in option.items() if key not in ("description", "default")}
    if "options" in kept:
        kept["options"] = {name: without_descriptions(inner) for name, inner in kept["options"].items()}
    return kept
