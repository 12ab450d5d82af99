# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which drivers a system can get from where: data.

Sources. Debian: the package lists of bookworm and trixie. Ubuntu: the names of the series nvidia-graphics-drivers-N-
server and linux-restricted-modules. NVIDIA's repository: its driver installation guide (compute-only installation,
version locking). Branches, their classes and their module flavours: NVIDIA's data-centre driver documentation for
R580 to R620. Checksums of cuda-keyring_1.1-1_all.deb: Google's installer (compute-gpu-installation, config.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..module_utils.gpu_models import OPEN, PROPRIETARY

LTS = 580
"""The long-term branch, until June 2028: the last that carries Maxwell, Pascal and Volta, the first of CUDA 13."""

OPEN_FOR_DESKTOPS = 560
"""The branch from which NVIDIA recommends the open module on Turing and newer; before, on data-centre cards alone."""

OPEN_ONLY = 615
"""From this branch on, NVIDIA's repository holds no proprietary module."""

FIRST_PINNED = 570
"""The first branch with a package that pins it (nvidia-driver-pinning-N); older ones are not taken from there."""

CUDA_OF_BRANCH = {470: 11, 535: 12, 550: 12, 570: 12, 580: 13, 595: 13, 610: 13, 615: 13, 620: 13}
"""The newest CUDA major version whose programs a branch runs."""

CUDA_FLOORS = {13: "580", 12: "525.60.13", 11: "450.80.02"}
"""The lowest driver of a CUDA major version (minor version compatibility)."""

CUDA_OF_ARCHITECTURE = {"Blackwell": "12.8", "Hopper": "11.8", "Ada": "11.8", "Ampere": "11.0"}
"""The first CUDA version that compiles for an architecture; where none stands, any that the driver runs."""

LAST_CUDA_OF_ARCHITECTURE = {"Kepler": 11, "Maxwell": 12, "Pascal": 12, "Volta": 12}

KEYRINGS = {
    "ubuntu2204": "d93190d50b98ad4699ff40f4f7af50f16a76dac3bb8da1eaaf366d47898ff8df",
    "ubuntu2404": "d2a6b11c096396d868758b86dab1823b25e14d70333f1dfa74da5ddaf6a06dba",
    "debian13": "dd28f1f6ba0038180d6b23f846cefca1e3de4c9327751665241370bacea452a1",
    "debian12": "e7f219eab6fe4819cdb5c15b98233dc3420302d9c00883219cd3d896857cf48d",
}

ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "sbsa"}
"""What NVIDIA's repository calls a processor."""

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
"""Every package that is part of a driver, whoever makes it. The container toolkit and CUDA are no part of it."""

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
"""Packages that belong to a driver also where apt has not heard of them yet: another source may be added later."""


@dataclass(frozen=True)
class Offer:
    """A driver that a system can get: where from, which, and by which packages.

    `main` is the package whose version is the driver's. `first` goes in before the others, in a transaction of its own.
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
    """Give what Debian's own archive has."""
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
    """Give what Ubuntu's archive has: modules that Canonical built and signed, and the same to be built on the host."""
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
    """Give what NVIDIA's repository has of a branch. The unsuffixed cuda-drivers, which may be empty, is never used."""
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
    """List what a system can get, the best source first; `branches` are those to take from NVIDIA's repository."""
    found: list[Offer] = []
    if system == "ubuntu":
        found += [offer for offer in _ubuntu(kernel_flavour) if offer.source == "ubuntu_precompiled"]
    for branch in branches:
        found += _nvidia(system, branch)
    found += _debian(release) if system == "debian" else []
    if system == "ubuntu":
        found += [offer for offer in _ubuntu(kernel_flavour) if offer.source == "distro"]
    return found


def repository_folder(system: str, release: str, machine: str) -> str:
    """Name the directory of NVIDIA's repository for a system, as debian12/x86_64."""
    return f"{system}{release.replace('.', '')}/{ARCHITECTURES.get(machine, machine)}"
