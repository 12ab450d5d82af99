# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that plan and judge a driver; each is documented in the .yml file next to this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.gpulab.core.plugins.plugin_utils import driver_plan as driver


class FilterModule:
    """Offer the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give the filters by name."""
        return {
            "carries_cuda": driver.carries_cuda,
            "driver_plan": driver.driver_plan,
            "driver_preferences": driver.preferences,
            "driver_problems": driver.driver_problems,
            "driver_repository": driver.repository,
            "plan_lines": driver.plan_lines,
            "reboot_reasons": driver.reboot_reasons,
        }
