# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter of the role cudnn; it is documented in the .yml file of its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import HostFacts
from ansible_collections.gpulab.core.plugins.plugin_utils.cudnn.plan import CudnnOptions, cudnn_plan
from ansible_collections.gpulab.core.plugins.plugin_utils.cudnn.releases import WHEELS


def plan_filter(
    host: HostFacts,
    toolkits: Iterable[str],
    version: str = "",
    source: str = WHEELS,
    path: str = "/opt/gpulab/cudnn",
    installed: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the plan as a dictionary."""
    options = CudnnOptions(
        toolkits=tuple(map(str, toolkits)),
        version=str(version),
        source=str(source),
        path=str(path).rstrip("/"),
        installed=tuple(map(str, installed)),
    )
    return asdict(cudnn_plan(host, options))


class FilterModule:
    """The filter of the role cudnn."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by name."""
        return {"cudnn_plan": plan_filter}
