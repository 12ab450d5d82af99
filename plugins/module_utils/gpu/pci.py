# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs and their switches, read from the PCI bus in sysfs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import Gpu
from ansible_collections.gpulab.core.plugins.module_utils.gpu.files import read
from ansible_collections.gpulab.core.plugins.module_utils.gpu.models import by_pci_id

NVIDIA = "0x10de"
"""PCI vendor id of NVIDIA (pci.ids)."""

DISPLAY_CLASSES = ("0x0300", "0x0302")
"""PCI classes of a VGA controller and a 3D controller (PCI Code and ID Assignment, class 03h)."""

BRIDGE_CLASS = "0x0680"
"""PCI class of an NVSwitch (class 06h, other bridge)."""

NVSWITCHES = frozenset(("10de:1ac0", "10de:1ac1", "10de:1ac2", "10de:1af1", "10de:22a3"))
"""PCI ids of the switches between the GPUs of one host (V100, A100 and H100 generations; pci.ids, NVIDIA's docs)."""

SWITCHED_FROM = {"B200": 8}
"""Models whose switches are not PCI devices, with the number of GPUs from which a host has them (HGX B200)."""

RACK_SWITCHED = frozenset(("GB200",))
"""Models whose switches are outside the host: nvidia-imex manages their fabric, not the fabric manager."""


def nvidia_devices(sysfs: Path) -> list[tuple[str, str, str]]:
    """Return NVIDIA's devices on the PCI bus, as address, class and device id."""
    result = []
    for device in sorted((sysfs / "bus" / "pci" / "devices").glob("*")):
        vendor, device_class, device_id = (read(device / name) for name in ("vendor", "class", "device"))
        if vendor == NVIDIA:
            result.append((device.name, device_class, device_id.removeprefix("0x")))
    return result


def describe_gpu(address: str, device_id: str) -> Gpu:
    """Return a GPU with what the table of models has for its device id."""
    model = by_pci_id(f"10de:{device_id}")
    if model is None:
        return {"address": address, "device_id": device_id, "model": "unknown"}
    return {
        "address": address,
        "device_id": device_id,
        "model": model.name,
        "architecture": model.architecture,
        "compute_capability": model.compute_capability,
        "memory_gb": model.memory_gb,
        "mig_capable": model.mig_capable,
        "kernel_modules": list(model.kernel_modules),
        "min_driver": model.min_driver,
        "last_driver_branch": model.last_driver_branch,
    }


def gpus(sysfs: Path, expected: Iterable[str] = ()) -> list[Gpu]:
    """Return the NVIDIA GPUs on the PCI bus; those of the `expected` device ids where the bus has none."""
    present = [
        describe_gpu(address, device_id)
        for address, device_class, device_id in nvidia_devices(sysfs)
        if device_class.startswith(DISPLAY_CLASSES)
    ]
    return present or [describe_gpu("expected", device_id.lower().removeprefix("10de:")) for device_id in expected]


def fabric(sysfs: Path, host_gpus: Sequence[Gpu]) -> str:
    """Return what connects the GPUs: `nvswitch` (needs the fabric manager), `rack` (needs nvidia-imex) or `none`."""
    models = [gpu["model"] for gpu in host_gpus]
    if any(model in RACK_SWITCHED for model in models):
        return "rack"
    on_the_bus = any(
        device_class.startswith(BRIDGE_CLASS) and f"10de:{device_id}" in NVSWITCHES
        for _address, device_class, device_id in nvidia_devices(sysfs)
    )
    by_number = any(models.count(model) >= least for model, least in SWITCHED_FROM.items())
    return "nvswitch" if on_the_bus or by_number else "none"
