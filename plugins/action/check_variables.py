# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action gpulab.core.check_variables: check the variables of a host on the controller, before any host is contacted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.gpulab.core.plugins.plugin_utils import controller_files, secrets, site_variables
from ansible_collections.gpulab.core.plugins.plugin_utils.hub.options import hub_problems
from ansible_collections.gpulab.core.plugins.plugin_utils.users.problems import EXISTING_NAME, user_problems

AGREEING = ("gpulab_users_group", "gpulab_admin_group")
"""Site variables whose role options must have one value."""
NAMES = {
    "gpulab_users_group": EXISTING_NAME,
    "gpulab_admin_group": EXISTING_NAME,
    "gpulab_environment_name": site_variables.ENVIRONMENT,
}
"""Accepted names, by site variable."""
SWITCH = "gpulab_check_options"
"""Variable that turns the search for misspelt role options off."""


class ActionModule(ActionBase):  # type: ignore[misc]
    """Compare the variables of a host with the site variables and the role options of the collection."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail with one message that holds every problem."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        reserved: dict[str, dict[str, Any]] = self._task.args.get("reserved", {})
        renamed: dict[str, str] = self._task.args.get("renamed", {})
        spec = {**site_variables.site_variables(), **self._task.args.get("variables", {})}
        options = site_variables.role_options()
        old = [name for name in renamed if name in variables]
        problems = site_variables.unknown_names(set(variables) - set(old), {*spec, *reserved, SWITCH})
        if variables.get(SWITCH, True):
            problems += site_variables.misspelt_options(set(variables) - set(old), options)
        names = {*spec, *reserved, *(name.partition(".")[0] for name in renamed)}
        values, unknown = self._evaluated({name: variables[name] for name in names if name in variables})
        if unknown:
            return {**result, "failed": True, "problems": unknown, "msg": "Nothing was changed. " + " ".join(unknown)}
        required = self._task.args.get("required", {})
        directories = [Path(variables[name]) for name in ("inventory_dir", "playbook_dir") if variables.get(name)]
        problems += site_variables.ignored_files(directories)
        problems += site_variables.missing_names(
            {**variables, **values},
            required,
            {name: option["option"] for name, option in spec.items() if "option" in option},
            variables.get("inventory_dir") or "",
        )
        problems += site_variables.renamed_names(values, renamed)
        problems += site_variables.reserved_problems(values, reserved)
        given = values
        values = {name: value for name, value in values.items() if name in spec}
        problems += site_variables.empty_names(values, set(spec) - set(required))
        problems += [
            problem
            for name, value in values.items()
            for problem in site_variables.shape_problems(name, spec[name], value)
        ]
        of_roles = self._role_options(variables, options)
        problems += self._foreign_problems(of_roles, options)
        problems += site_variables.disagreements({**values, **of_roles}, AGREEING)
        problems += site_variables.name_problems({**values, **of_roles}, NAMES)
        if not problems:
            problems += type_problems(spec, values)
        if not problems:
            problems += user_problems(values.get("gpulab_users") or [], values.get("gpulab_groups") or {})
            problems += hub_problems(
                values.get("gpulab_hub_address", "0.0.0.0"),  # noqa: S104  # the documented default
                values.get("gpulab_tls") or {},
                networks=values.get("gpulab_login_allow_list") or [],
                port=values.get("gpulab_hub_port", 443),
                redirect=boolean(values.get("gpulab_http_redirect_enabled", False)),
            )
            problems += toolkit_problems({**values, **of_roles})
            problems += file_problems({**values, **of_roles}, variables)
        if problems:
            hidden = set(secrets.secrets_of({**values, **of_roles, **given}))
            problems = [secrets.masked(problem, hidden) for problem in problems]
            text = "".join(f"\n- {problem}" for problem in problems)
            message = (
                f"Nothing was changed, because variables of {variables.get('inventory_hostname', '')} are wrong:{text}"
            )
            return {**result, "failed": True, "problems": problems, "msg": message}
        return {**result, "changed": False, "msg": "The variables are valid."}

    def _evaluated(self, variables: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the values of variables, and one sentence for each that cannot be evaluated."""
        values, problems = {}, []
        for name, value in variables.items():
            try:
                values[name] = self._templar.template(value)
            except AnsibleError as error:
                problems.append(f"{name} cannot be evaluated: {error.message.rstrip('.')}.")
        return values, problems

    def _role_options(self, variables: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the role options that the site sets. One that needs facts of the host is left to its role."""
        names = {name for of_role in options.values() for name in of_role} & set(variables)
        return self._evaluated({name: variables[name] for name in names})[0]

    @staticmethod
    def _foreign_problems(values: Mapping[str, Any], options: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Report role options of another type: they may belong to another role of the site."""
        problems = []
        for name, value in values.items():
            role = site_variables.role_of(name, options)
            problems += [
                f"{problem} {name} is an option of gpulab's role {role}; where it belongs to another role of your "
                "site, rename it there."
                for problem in site_variables.shape_problems(name, options[role][name], value)
            ]
        return problems


def toolkit_problems(values: Mapping[str, Any]) -> list[str]:
    """Report a cuDNN for no toolkit: toolkits that are not listed are removed before it would be installed."""
    enabled = values.get("cudnn_enabled", values.get("gpulab_cudnn_enabled", False))
    if not boolean(enabled) or any(values.get(name) for name in ("cuda_versions", "gpulab_cuda_versions")):
        return []
    return [
        "gpulab_cudnn_enabled: a system cuDNN is for users who compile with a toolkit, and gpulab_cuda_versions names "
        "none. Add a version to it, or remove gpulab_cudnn_enabled: frameworks bring their own cuDNN."
    ]


def file_problems(values: Mapping[str, Any], variables: Mapping[str, Any]) -> list[str]:
    """Report certificates and keys that are not on the controller; `variables` name the directories of the search."""
    return [
        f"{name}: {problem}."
        for name, path in controller_paths(values)
        if path and (problem := controller_files.problem(str(path), variables))
    ]


def controller_paths(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the names and paths of files on the controller that roles read."""
    for name in ("gpulab_tls", "jupyterhub_tls"):
        tls = values.get(name) or {}
        if tls.get("mode") == "own":
            yield from ((f"{name}.{key}", tls.get(key)) for key in ("certificate", "key"))
    for path in (values.get("gpulab_sources") or {}).get("ca_certificates") or []:
        yield "gpulab_sources.ca_certificates", path
    for path in values.get("sources_ca_certificates") or []:
        yield "sources_ca_certificates", path


def type_problems(spec: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """Report wrong types, choices and keys, as Ansible's own validator finds them.

    Its messages may quote values, so secrets are taken out before; user_problems checks them by name.
    """
    checked = {**values}
    if isinstance(checked.get("gpulab_users"), list):
        # A key `password` is a mistake that user_problems explains; a hash must not be quoted in a message.
        hidden = {"password", "password_hash"}
        checked["gpulab_users"] = [
            {key: value for key, value in user.items() if key not in hidden} if isinstance(user, dict) else user
            for user in checked["gpulab_users"]
        ]
    plain = {name: without_documentation(option) for name, option in spec.items()}
    return [str(message) for message in ArgumentSpecValidator(plain).validate(checked).error_messages]


def without_documentation(option: dict[str, Any]) -> dict[str, Any]:
    """Return an option's specification without documentation, in nested options too."""
    kept = {key: value for key, value in option.items() if key not in ("description", "default", "option")}
    if "options" in kept:
        kept["options"] = {name: without_documentation(inner) for name, inner in kept["options"].items()}
    return kept
