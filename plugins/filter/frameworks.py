# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters that choose and judge frameworks; each is documented in the .yml file next to this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.gpulab.core.plugins.module_utils.framework_profiles import plan
from ansible_collections.gpulab.core.plugins.module_utils.r_rules import r_python_problems


class FilterModule:
    """Offer the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give the filters by name."""
        return {"framework_plan": plan, "r_python_problems": r_python_problems}
