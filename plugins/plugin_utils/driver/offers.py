# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drivers that sources have for a system: data.

Sources. Debian: the package lists of bookworm and trixie. Ubuntu: the names of the series nvidia-graphics-drivers-N-
server and linux-restricted-modules. NVIDIA's repository: its driver installation guide (compute-only installation,
version locking).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.gpulab.core.plugins.module_utils.gpu.models import OPEN, PROPRIETARY
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.branches import FIRST_PINNED, OPEN_ONLY


@dataclass(frozen=True)
class Offer:
    """A driver that a source has for a system.

    `main` is the package whose version is the driver's. `first` are packages to install before the others, in a
    transaction of their own. `dkms` is whether the module is built on the host.
    """

    source: str
    branch: int
    flavour: str
    main: str
    packages: tuple[str, ...]
    first: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    fabric_manager: str = ""
    dkms: bool = True


_DEBIAN_USERLAND = (
    "libcuda1",
    "libnvidia-cfg1",
    "libnvidia-ml1",
    "libnvidia-nvvm4",
    "nvidia-modprobe",
    "nvidia-persistenced",
    "nvidia-smi",
)
_DEBIAN_COMPONENTS = ("contrib", "non-free", "non-free-firmware")


def _debian(release: str) -> Iterator[Offer]:
    """Return the drivers in Debian's archive."""
    branch = {"12": 535, "13": 550}[release]
    for flavour, stem in ((PROPRIETARY, "nvidia"), (OPEN, "nvidia-open")):
        packages: tuple[str, ...] = (f"{stem}-kernel-dkms", f"{stem}-kernel-support", *_DEBIAN_USERLAND)
        yield Offer("distro", branch, flavour, packages[0], packages, components=_DEBIAN_COMPONENTS)
    if release == "12":
        packages = (
            "nvidia-tesla-470-kernel-dkms",
            "libnvidia-tesla-470-cuda1",
            "libnvidia-tesla-470-cfg1",
            "libnvidia-tesla-470-ml1",
            "nvidia-tesla-470-smi",
            "nvidia-modprobe",
            "nvidia-persistenced",
        )
        yield Offer("distro", 470, PROPRIETARY, packages[0], packages, components=_DEBIAN_COMPONENTS)


def _ubuntu(kernel_flavour: str) -> Iterator[Offer]:
    """Return the drivers in Ubuntu's archive: with modules that Canonical built and signed, and with DKMS."""
    for branch, flavour in ((580, OPEN), (580, PROPRIETARY), (535, PROPRIETARY), (470, PROPRIETARY)):
        series = f"{branch}-server"
        kind = f"{series}-open" if flavour == OPEN else series
        shared = (f"nvidia-utils-{series}", f"libnvidia-cfg1-{series}")
        manager = f"nvidia-fabricmanager-{branch}" if branch >= 535 else ""
        if kernel_flavour:
            signed = (f"linux-modules-nvidia-{kind}-{kernel_flavour}", f"nvidia-headless-no-dkms-{kind}", *shared)
            # The modules carry the kernel's version; the libraries carry the driver's.
            yield Offer(
                "ubuntu_precompiled",
                branch,
                flavour,
                shared[0],
                signed,
                components=("restricted",),
                fabric_manager=manager,
                dkms=False,
            )
        packages = (f"nvidia-dkms-{kind}", f"nvidia-headless-{kind}", *shared)
        yield Offer(
            "distro", branch, flavour, packages[0], packages, components=("restricted",), fabric_manager=manager
        )


def _nvidia(system: str, branch: int) -> Iterator[Offer]:
    """Return the drivers of a branch in NVIDIA's repository, without cuda-drivers, which may be empty."""
    for flavour in (OPEN, PROPRIETARY):
        if branch < FIRST_PINNED or (flavour == PROPRIETARY and branch >= OPEN_ONLY):
            continue
        if system == "debian":
            stem = "nvidia-kernel-open-dkms" if flavour == OPEN else "nvidia-kernel-dkms"
            packages: tuple[str, ...] = (stem, "nvidia-driver-cuda", "nvidia-persistenced")
            manager = "nvidia-fabricmanager"
        else:
            stem = f"nvidia-dkms-{branch}-open" if flavour == OPEN else f"nvidia-dkms-{branch}"
            packages = (stem, f"libnvidia-compute-{branch}", f"nvidia-utils-{branch}", f"nvidia-compute-utils-{branch}")
            manager = f"nvidia-fabricmanager-{branch}"
        pinning = (f"nvidia-driver-pinning-{branch}",)
        yield Offer("nvidia_repo", branch, flavour, stem, packages, first=pinning, fabric_manager=manager)


def offers(system: str, release: str, kernel_flavour: str, branches: tuple[int, ...]) -> list[Offer]:
    """Return the drivers for a system, the best source first; `branches` are those to take from NVIDIA's repository."""
    result: list[Offer] = []
    if system == "ubuntu":
        result += [offer for offer in _ubuntu(kernel_flavour) if offer.source == "ubuntu_precompiled"]
    for branch in branches:
        result += _nvidia(system, branch)
    result += _debian(release) if system == "debian" else []
    if system == "ubuntu":
        result += [offer for offer in _ubuntu(kernel_flavour) if offer.source == "distro"]
    return result
