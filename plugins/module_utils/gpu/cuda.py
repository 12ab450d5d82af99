# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which drivers run the programs of a CUDA version."""

from __future__ import annotations

from ansible_collections.gpulab.core.plugins.module_utils.gpu.versions import numbers

CUDA_FLOORS = {13: "580", 12: "525.60.13", 11: "450.80.02"}
"""The lowest driver of a CUDA major version (NVIDIA: CUDA compatibility, minor version compatibility)."""


def driver_supports_cuda(driver: str, cuda: str) -> bool:
    """Return whether a driver runs programs of a CUDA version; False for majors newer than the table."""
    major = numbers(cuda)[0]
    floor = CUDA_FLOORS.get(major)
    if floor is None:
        return major < min(CUDA_FLOORS)
    return numbers(driver) >= numbers(floor)
