# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that judge settings; each is documented in the .yml file next to this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.gpulab.core.plugins.plugin_utils.site_variables import user_problems
from ansible_collections.gpulab.core.plugins.plugin_utils.user_limits import user_limits


class FilterModule:
    """Offer the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give the filters by name."""
        return {
            "user_limits": user_limits,
            "user_problems": user_problems,
        }
