# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter of the role cuda; it is documented in the .yml file of its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import HostFacts
from ansible_collections.gpulab.core.plugins.plugin_utils.cuda.plan import CudaOptions, cuda_plan


def plan_filter(
    host: HostFacts,
    versions: Iterable[str],
    source: str = "auto",
    default_version: str = "",
    path: str = "/opt/gpulab/cuda",
    installed: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the plan as a dictionary."""
    options = CudaOptions(
        versions=tuple(map(str, versions)),
        source=str(source),
        default_version=str(default_version),
        path=str(path).rstrip("/"),
        installed=tuple(map(str, installed)),
    )
    return asdict(cuda_plan(host, options))


class FilterModule:
    """The filter of the role cuda."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by name."""
        return {"cuda_plan": plan_filter}
