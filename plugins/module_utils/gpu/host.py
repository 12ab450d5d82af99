# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All facts of gpu_info about one host. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.gpulab.core.plugins.module_utils.gpu import driver, kernels, machine, pci
from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import HostFacts
from ansible_collections.gpulab.core.plugins.module_utils.gpu.requirements import requirements


def read_host(root: Path, sysfs: Path, procfs: Path, expected: Iterable[str], modinfo: kernels.Modinfo) -> HostFacts:
    """Return the facts of the host whose files are below `root`, `sysfs` and `procfs`.

    `expected` are device ids of GPUs to assume where the bus has none.
    """
    host_gpus = pci.gpus(sysfs, expected)
    version, flavour = driver.loaded(procfs)
    packages = driver.packages(root)
    host_kernels = kernels.kernels(root)
    installed = [kernel["release"] for kernel in host_kernels if kernel["installed"]]
    return {
        "gpus": host_gpus,
        "requirements": requirements(host_gpus),
        "fabric": pci.fabric(sysfs, host_gpus),
        "driver_version": version,
        "driver_flavour": flavour,
        "driver_kind": driver.kind(root, procfs, packages),
        "userland_version": driver.userland(root),
        "fabric_manager_version": driver.fabric_manager(packages),
        "packages": packages,
        "kernels": host_kernels,
        "running_kernel": os.uname().release,
        "boot_kernel": installed[-1] if installed else "",
        "modules": kernels.modules(root, modinfo),
        "dkms": kernels.dkms(root),
        "managed": driver.managed(root),
        "nouveau_loaded": (sysfs / "module" / "nouveau").is_dir(),
        "nouveau_blocked": kernels.is_blocked(root, "nouveau"),
        "secure_boot": machine.secure_boot(sysfs),
        "virtualization": machine.virtualization(sysfs, procfs),
        "container": machine.container(root, procfs),
        "processes": machine.processes(procfs) if host_gpus else [],
        "system": machine.system(root, os.uname().machine),
    }
