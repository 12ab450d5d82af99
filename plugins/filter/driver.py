# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the driver plan; each is documented in the .yml file of its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import HostFacts
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.options import DriverOptions
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.plan import driver_plan
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.table import plan_lines
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.verification import driver_problems


def plan_filter(host: HostFacts, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan as a dictionary, with its table as `lines`."""
    try:
        plan = driver_plan(host, DriverOptions(**{name: str(value) for name, value in options.items()}))
    except TypeError as error:
        raise AnsibleFilterError(f"driver_plan: {error}") from None
    return {**asdict(plan), "lines": plan_lines(plan, host)}


def problems_filter(host: HostFacts, plan: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with an installed driver."""
    return driver_problems(host, branch=plan["branch"], flavour=plan["flavour"], fabric_manager=plan["fabric_manager"])


class FilterModule:
    """The filters of the driver plan."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"driver_plan": plan_filter, "driver_problems": problems_filter}
