# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of hosts with given GPUs and the plans for them."""

from __future__ import annotations

from typing import Any, cast

from ansible_collections.gpulab.core.plugins.module_utils.gpu import pci
from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import HostFacts
from ansible_collections.gpulab.core.plugins.module_utils.gpu.requirements import requirements
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.options import DriverOptions
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.plan import DriverPlan, driver_plan

SYSTEMS = {"12": ("debian", "6.1.0-56-amd64"), "13": ("debian", "6.12.117-amd64")}
SYSTEMS |= {"22.04": ("ubuntu", "6.8.0-50-generic"), "24.04": ("ubuntu", "6.8.0-1024-gcp")}
FAMILY = {
    "K80": "102d",
    "M40": "17fd",
    "P4": "1bb3",
    "P100": "15f8",
    "V100": "1db1",
    "T4": "1eb8",
    "A100": "20b0",
    "L4": "27b8",
    "H100": "2330",
    "H200": "2335",
    "B200": "2901",
    "GB200": "2941",
    "RTX PRO 6000": "2bb5",
    "RTX 3090": "2204",
    "RTX 5090": "2b85",
}

KERNEL = "6.1.0-56-amd64"
MODULE: dict[str, Any] = {
    "path": "/lib/x.ko",
    "version": "535.309.01",
    "signer": "DKMS module signing key",
    "flavour": "proprietary",
}
INSTALLED: dict[str, Any] = {"userland_version": "535.309.01", "driver_kind": "package", "modules": {KERNEL: [MODULE]}}
"""Facts of a host with a complete driver."""


def host(*ids: str, system: str = "12", **facts: Any) -> HostFacts:
    """Return the facts of a host with these GPUs and no driver."""
    name, kernel = SYSTEMS[system]
    gpus = [pci.describe_gpu(f"0000:{number:02x}:00.0", device) for number, device in enumerate(ids, 1)]
    result = {
        "gpus": gpus,
        "requirements": requirements(gpus),
        "fabric": "none",
        "driver_version": "",
        "driver_flavour": "",
        "driver_kind": "none",
        "userland_version": "",
        "fabric_manager_version": "",
        "packages": {},
        "kernels": [{"release": kernel, "installed": True, "headers": True}],
        "running_kernel": kernel,
        "boot_kernel": kernel,
        "modules": {kernel: []},
        "dkms": [],
        "nouveau_loaded": False,
        "secure_boot": "disabled",
        "container": "",
        "managed": {},
        "system": {"id": name, "version": system, "machine": "x86_64"},
        **facts,
    }
    return cast(HostFacts, result)


def plan(*ids: str, system: str = "12", settings: dict[str, str] | None = None, **facts: Any) -> DriverPlan:
    """Return the plan for such a host and these options."""
    return driver_plan(host(*ids, system=system, **facts), DriverOptions(**(settings or {})))
