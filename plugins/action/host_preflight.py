# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of gpulab.core.host_preflight: add the controller's time, and pass logins apart from addresses."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.gpulab.core.plugins.module_utils.common.addresses import (
    no_proxy_hosts,
    raw_login,
    without_login,
)


class ActionModule(ActionBase):  # type: ignore[misc]
    """Run the module with logins in options that are never shown (no_log)."""

    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module on the host."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = {**self._task.args, **apart(self._task.args), "controller_time": time.time()}
        module = self._execute_module(
            module_name="gpulab.core.host_preflight", module_args=arguments, task_vars=task_vars
        )
        return {**result, **module}


def apart(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with addresses, without the logins, and the options that hold those."""
    changed: dict[str, Any] = {}
    for option, key in (("sources", "url"), ("wheels", "index")):
        if isinstance(entries := arguments.get(option), list):
            changed[option] = [entry_apart(entry, key) for entry in entries]
    logins: dict[str, str] = {}
    for option in ("indexes", "find_links"):
        if isinstance(urls := arguments.get(option), list):
            changed[option] = [without_login(str(url)) for url in urls]
            logins.update((without_login(str(url)), raw_login(str(url))) for url in urls if raw_login(str(url)))
    if logins:
        changed["logins"] = logins
    if isinstance(proxies := arguments.get("proxies"), Mapping):
        changed["proxies"] = {scheme: proxy for scheme, proxy in proxies.items() if scheme != "no_proxy"}
        changed["no_proxy"] = no_proxy_hosts(proxies.get("no_proxy"))
    return changed


def entry_apart(entry: Any, key: str) -> Any:
    """Return an entry with its login in an option of its own."""
    if not isinstance(entry, Mapping) or not raw_login(str(entry.get(key, ""))):
        return entry
    url = str(entry[key])
    return {**entry, key: without_login(url), "login": raw_login(url)}
