# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the packages that belong to a driver: data.

Sources: the package lists of Debian and Ubuntu, and NVIDIA's driver installation guide.
"""

from __future__ import annotations

DRIVER_GLOBS = (
    "cuda-drivers*",
    "firmware-nvidia-gsp*",
    "firmware-nvidia-tesla-*",
    "libcuda1*",
    "libcudadebugger1*",
    "libnvcuvid1*",
    "libnvidia-allocator*",
    "libnvidia-cfg1*",
    "libnvidia-common-*",
    "libnvidia-compute*",
    "libnvidia-encode*",
    "libnvidia-fbc*",
    "libnvidia-gl*",
    "libnvidia-gpucomp*",
    "libnvidia-ml1*",
    "libnvidia-nscq*",
    "libnvidia-nvvm*",
    "libnvidia-opticalflow*",
    "libnvidia-pkcs11*",
    "libnvidia-ptxjitcompiler1*",
    "libnvidia-rtcore*",
    "libnvidia-tesla-*",
    "libnvsdm*",
    "linux-modules-nvidia-*",
    "linux-objects-nvidia-*",
    "nvidia-alternative*",
    "nvidia-compute-utils-*",
    "nvidia-dkms-*",
    "nvidia-driver*",
    "nvidia-egl-*",
    "nvidia-fabricmanager*",
    "nvidia-firmware-*",
    "nvidia-headless-*",
    "nvidia-imex*",
    "nvidia-kernel-*",
    "nvidia-legacy-check*",
    "nvidia-modprobe*",
    "nvidia-open",
    "nvidia-open-*",
    "nvidia-opencl-icd*",
    "nvidia-persistenced*",
    "nvidia-smi*",
    "nvidia-tesla-*",
    "nvidia-utils-*",
    "nvidia-vdpau-driver*",
    "nvidia-vulkan-icd*",
)
"""Patterns of all packages that are part of a driver, from any source. The container toolkit and CUDA are not."""

DRIVER_NAMES = tuple(
    """
    cuda-drivers cuda-drivers-580 firmware-nvidia-gsp libcuda1 libcudadebugger1 libnvcuvid1 libnvidia-allocator1
    libnvidia-cfg1 libnvidia-encode1 libnvidia-fbc1 libnvidia-glcore libnvidia-glvkspirv libnvidia-gpucomp
    libnvidia-ml1 libnvidia-nscq libnvidia-nvvm4 libnvidia-opticalflow1 libnvidia-pkcs11-openssl3
    libnvidia-ptxjitcompiler1 libnvidia-rtcore libnvsdm nvidia-alternative nvidia-driver nvidia-driver-bin
    nvidia-driver-cuda nvidia-driver-full nvidia-driver-libs nvidia-driver-open nvidia-egl-common nvidia-egl-icd
    nvidia-fabricmanager nvidia-imex nvidia-kernel-common nvidia-kernel-dkms nvidia-kernel-open-dkms
    nvidia-kernel-source nvidia-kernel-support nvidia-legacy-check nvidia-modprobe nvidia-open nvidia-open-580
    nvidia-open-kernel-dkms nvidia-open-kernel-source nvidia-open-kernel-support nvidia-opencl-icd
    nvidia-persistenced nvidia-smi nvidia-tesla-470-alternative nvidia-tesla-535-alternative nvidia-vdpau-driver
    nvidia-vulkan-icd
    """.split()  # noqa: SIM905
)
"""Packages of a driver that are pinned although apt may not have them: another source may be added later."""
