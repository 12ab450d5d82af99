# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs that come with a Google Cloud machine type, for instances whose answer does not list them.

Source: Google's accelerator-optimised machine family documentation as repeated by Cluster Toolkit's hardware table. The
smallest G4 shapes carry a slice of a card: one accelerator, a part of its memory, and no MIG of their own.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BundledGpu:
    """GPUs of a machine type; slice_gb is the memory of a part of a card, None for whole cards."""

    accelerator: str
    count: int
    slice_gb: int | None = None


def _series(pattern: str, accelerator: str, counts: dict[str, int]) -> dict[str, BundledGpu]:
    return {pattern.format(size): BundledGpu(accelerator, count) for size, count in counts.items()}


BUNDLED: dict[str, BundledGpu] = {
    **_series("g2-standard-{}", "nvidia-l4", {"4": 1, "8": 1, "12": 1, "16": 1, "32": 1, "24": 2, "48": 4, "96": 8}),
    "g4-standard-6": BundledGpu("nvidia-rtx-pro-6000", 1, 12),
    "g4-standard-12": BundledGpu("nvidia-rtx-pro-6000", 1, 24),
    "g4-standard-24": BundledGpu("nvidia-rtx-pro-6000", 1, 48),
    **_series("g4-standard-{}", "nvidia-rtx-pro-6000", {"48": 1, "96": 2, "192": 4, "384": 8}),
    **_series("a2-highgpu-{}", "nvidia-tesla-a100", {"1g": 1, "2g": 2, "4g": 4, "8g": 8}),
    "a2-megagpu-16g": BundledGpu("nvidia-tesla-a100", 16),
    **_series("a2-ultragpu-{}", "nvidia-a100-80gb", {"1g": 1, "2g": 2, "4g": 4, "8g": 8}),
    **_series("a3-highgpu-{}", "nvidia-h100-80gb", {"1g": 1, "2g": 2, "4g": 4, "8g": 8}),
    "a3-edgegpu-8g": BundledGpu("nvidia-h100-80gb", 8),
    "a3-megagpu-8g": BundledGpu("nvidia-h100-mega-80gb", 8),
    "a3-ultragpu-8g": BundledGpu("nvidia-h200-141gb", 8),
    "a4-highgpu-8g": BundledGpu("nvidia-b200", 8),
    "a4x-highgpu-4g": BundledGpu("nvidia-gb200", 4),
}
