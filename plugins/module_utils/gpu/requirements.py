# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requirements of GPUs on their driver."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import Gpu, Requirements
from ansible_collections.gpulab.core.plugins.module_utils.gpu.models import OPEN, PROPRIETARY, GpuModel, by_pci_id
from ansible_collections.gpulab.core.plugins.module_utils.gpu.versions import numbers


def requirements(gpus: Iterable[Gpu]) -> Requirements:
    """Return what a driver must fulfil to support all known GPUs of a host at once, and the ids of unknown ones."""
    listed = list(gpus)
    models: list[GpuModel] = [model for gpu in listed if (model := by_pci_id(f"10de:{gpu['device_id']}"))]
    flavours = [
        flavour
        for flavour in (OPEN, PROPRIETARY)
        if models and all(flavour in model.kernel_modules for model in models)
    ]
    lowest = [model.min_driver for model in models if model.min_driver]
    last = [model.last_driver_branch for model in models if model.last_driver_branch]
    capabilities = sorted((model.compute_capability for model in models), key=numbers)
    return {
        "kernel_modules": flavours,
        "min_driver": max(lowest, key=numbers, default=None),
        "last_driver_branch": min(last, default=None),
        "lowest_compute_capability": capabilities[0] if capabilities else None,
        "highest_compute_capability": capabilities[-1] if capabilities else None,
        "unknown": sorted({gpu["device_id"] for gpu in listed if gpu["model"] == "unknown"}),
    }
