# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of cuDNN: the CUDA major versions that they are built for, and the GPUs that they support: data.

Sources: NVIDIA's support matrix of cuDNN (9.11 dropped Maxwell, Pascal and Volta, 9.0 dropped Kepler), and the wheels
nvidia-cudnn-cu12 and nvidia-cudnn-cu13.
"""

from __future__ import annotations

from dataclasses import dataclass

WHEELS, DISTRO, REPOSITORY = "wheels", "distro", "nvidia_repo"
FIRST_WITHOUT_VOLTA = "9.11"


@dataclass(frozen=True)
class Release:
    """A release of cuDNN: its CUDA major versions, and the lowest compute capability that it supports."""

    version: str
    cuda: tuple[int, ...]
    lowest_capability: str


RELEASES: tuple[Release, ...] = (
    Release("9.10", (12,), "5.0"),
    Release("9.28", (12, 13), "7.5"),
)
"""All releases that the role installs, oldest first: the last for GPUs before Turing, and the newest."""
BY_VERSION = {release.version: release for release in RELEASES}

PACKAGES = ("libcudnn9-cuda-{}", "libcudnn9-dev-cuda-{}", "libcudnn9-headers-cuda-{}")
"""Packages of NVIDIA's repository by CUDA major version. Those of two major versions have the same files."""

DISK_GB = {WHEELS: {"path": 2.5, "cache": 2.5}, REPOSITORY: {"/usr": 2.0, "/var": 1.5}}
"""Disk space by source for one CUDA major version, in 1e9 bytes (wheels of CUDA 13 measured, others estimated)."""
