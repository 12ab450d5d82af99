# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Types of the facts about a host that gpu_info returns and that the driver plan reads."""

from __future__ import annotations

from typing import TypedDict


class GpuAddress(TypedDict):
    """A GPU on the PCI bus; `address` is `expected` for a GPU that the host does not have."""

    address: str
    device_id: str
    model: str


class Gpu(GpuAddress, total=False):
    """A GPU; only models of the table have the further keys."""

    architecture: str
    compute_capability: str
    memory_gb: int
    mig_capable: bool
    kernel_modules: list[str]
    min_driver: str | None
    last_driver_branch: int | None


class Requirements(TypedDict):
    """Requirements of all known GPUs of a host on their driver."""

    kernel_modules: list[str]
    min_driver: str | None
    last_driver_branch: int | None
    lowest_compute_capability: str | None
    highest_compute_capability: str | None
    unknown: list[str]


class Kernel(TypedDict):
    """A kernel on the disk."""

    release: str
    installed: bool
    headers: bool


class KernelModule(TypedDict):
    """A file of NVIDIA's main kernel module."""

    path: str
    version: str
    signer: str
    flavour: str


class DkmsModule(TypedDict):
    """A module in DKMS's record: the kernels that it is built for, and errors of the last build."""

    name: str
    version: str
    built: list[str]
    errors: list[str]


class Package(TypedDict):
    """A package of a driver; `state` is as in dpkg(1)."""

    version: str
    state: str


class Process(TypedDict):
    """A process that holds a GPU open."""

    pid: int
    user: str
    name: str


class System(TypedDict):
    """Operating system and processor."""

    id: str
    version: str
    codename: str
    machine: str


class DriverRecord(TypedDict, total=False):
    """The role's own record of the driver that it installed."""

    source: str
    branch: int
    flavour: str
    version: str
    packages: list[str]
    closure: list[str]
    signing_key_made: bool
    added: list[str]


class HostFacts(TypedDict):
    """GPUs, kernels and driver of a host."""

    gpus: list[Gpu]
    requirements: Requirements
    fabric: str
    driver_version: str
    driver_flavour: str
    driver_kind: str
    userland_version: str
    fabric_manager_version: str
    packages: dict[str, Package]
    kernels: list[Kernel]
    running_kernel: str
    boot_kernel: str
    modules: dict[str, list[KernelModule]]
    dkms: list[DkmsModule]
    managed: DriverRecord
    nouveau_loaded: bool
    nouveau_blocked: bool
    secure_boot: str
    virtualization: str
    container: str
    processes: list[Process]
    system: System
