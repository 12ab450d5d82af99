# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the roles frameworks, r_tensorflow and rstudio; each is documented in the .yml file of its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.gpulab.core.plugins.module_utils.frameworks.planning import plan
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.r_python import r_python_problems
from ansible_collections.gpulab.core.plugins.plugin_utils.frameworks.rstudio import rstudio_plan


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"framework_plan": plan, "r_python_problems": r_python_problems, "rstudio_plan": rstudio_plan}
