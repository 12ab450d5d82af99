# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that choose frameworks; each is documented in the .yml file beside this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.gpulab.core.plugins.module_utils.framework_profiles import plan


class FilterModule:
    """Offer the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give the filters by name."""
        return {"framework_plan": plan}
