# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters about users and the hub; each is documented in the .yml file of its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.gpulab.core.plugins.plugin_utils.users.accounts import user_plans
from ansible_collections.gpulab.core.plugins.plugin_utils.users.problems import user_problems


class FilterModule:
    """Map the names of the filters to their functions."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "user_plans": user_plans,
            "user_problems": user_problems,
        }
