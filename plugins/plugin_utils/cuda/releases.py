# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of the CUDA toolkit: where they come from, and the drivers and compilers that they need: data.

Sources. Newest GCC: the table "Host compiler support policy" in NVIDIA's CUDA installation guide for Linux (archive of
each release); from 13.0 on, `crt/host_config.h` of the wheels nvidia-cuda-crt, in which nvcc rejects newer ones. 11.5
counts as GCC 10, because its headers do not compile with GCC 11's (fixed in 11.6). Drivers: NVIDIA's "CUDA
compatibility, minor version compatibility", and the drivers that the installers of the toolkits carry. Versions of the
distributions: their package lists.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.gpulab.core.plugins.module_utils.frameworks.cuda import CUDA_DRIVERS

WHEELS, DISTRO, REPOSITORY = "wheels", "distro", "nvidia_repo"


@dataclass(frozen=True)
class Release:
    """A release of the toolkit.

    `newest_gcc` is the newest major version of GCC that its nvcc accepts. `branch` is the driver branch that its
    installer carries, which runs PTX of this release; 0 where it is not known.
    """

    version: str
    newest_gcc: int
    branch: int
    has_wheels: bool = False

    @property
    def major(self) -> int:
        """The major version, on which drivers and GPU generations depend."""
        return int(self.version.partition(".")[0])


RELEASES: tuple[Release, ...] = (
    Release("11.5", 10, 495),
    Release("11.8", 11, 520),
    Release("12.0", 12, 525),
    Release("12.1", 12, 530),
    Release("12.2", 12, 535),
    Release("12.3", 12, 545),
    Release("12.4", 13, 550),
    Release("12.5", 13, 555),
    Release("12.6", 13, 560),
    Release("12.8", 14, 570),
    Release("12.9", 14, 575),
    Release("13.0", 15, 580, has_wheels=True),
    Release("13.1", 15, 590, has_wheels=True),
    Release("13.2", 15, 595, has_wheels=True),
    Release("13.3", 15, 610, has_wheels=True),
    Release("13.4", 16, 0, has_wheels=True),
    Release("13.5", 16, 0, has_wheels=True),
)
"""All known releases, oldest first. Wheels have had nvcc since 13.0: nvidia-cuda-nvcc-cu12 has ptxas only."""
BY_VERSION = {release.version: release for release in RELEASES}

MIN_DRIVERS = {11: "450.80.02", **CUDA_DRIVERS}
"""The oldest driver that runs programs of a major version."""


@dataclass(frozen=True)
class Distribution:
    """What a release of a distribution has: its toolkit with the archive's components, and its versions of GCC."""

    version: str
    components: tuple[str, ...]
    compilers: tuple[int, ...]


DISTRIBUTIONS = {
    ("debian", "12"): Distribution("11.8", ("contrib", "non-free"), (11, 12)),
    ("debian", "13"): Distribution("12.4", ("contrib", "non-free"), (12, 13, 14)),
    ("ubuntu", "22.04"): Distribution("11.5", ("universe", "multiverse"), (9, 10, 11, 12)),
    ("ubuntu", "24.04"): Distribution("12.0", ("universe", "multiverse"), (9, 10, 11, 12, 13, 14)),
}

PACKAGES = {DISTRO: "nvidia-cuda-toolkit", REPOSITORY: "cuda-toolkit-{}"}
"""The package of a toolkit by source; that of NVIDIA's repository has the version, as 13-0."""

DISK_GB = {
    WHEELS: {"path": 0.5, "cache": 0.5},
    DISTRO: {"/usr": 6.0, "/var": 2.0},
    REPOSITORY: {"/usr": 8.0, "/var": 4.0},
}
"""Disk space for one toolkit by source, in 1e9 bytes (wheels and Debian measured, NVIDIA's estimated)."""
