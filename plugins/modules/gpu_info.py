#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.gpu_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_info
author: The gpulab team (@gpulab)
short_description: The NVIDIA GPUs and the driver of a host
description:
  - Reads the GPUs from the PCI bus and the loaded driver from the kernel. Needs neither lspci nor nvidia-smi.
  - Only reads; behaves the same in check mode.
options:
  sysfs:
    description: Where the kernel shows its devices.
    type: path
    default: /sys
  procfs:
    description: Where the kernel shows its state.
    type: path
    default: /proc
extends_documentation_fragment: [gpulab.core.reads_only]
"""

EXAMPLES = r"""
- name: Read the GPUs
  gpulab.core.gpu_info:
  register: __example_gpu
"""

RETURN = r"""
gpus:
  description:
    - One entry for each GPU, with C(address) on the PCI bus, C(device_id) (four hexadecimal digits) and C(model).
    - C(model) is C(unknown) where the collection's table does not hold the id.
  type: list
  elements: dict
  returned: always
driver_version:
  description: Version of the loaded driver, empty where none is loaded.
  type: str
  returned: always
nouveau_loaded:
  description: Whether the free driver that stands in the way of NVIDIA's is loaded.
  type: bool
  returned: always
"""

import re
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpulab.core.plugins.module_utils.gpu_models import by_pci_id

NVIDIA = "0x10de"
"""PCI vendor number of NVIDIA (pci.ids)."""

DISPLAY_CLASSES = ("0x0300", "0x0302")
"""PCI classes of a VGA controller and a 3D controller (PCI Code and ID Assignment, class 03h)."""


def gpus(sysfs: Path) -> list[dict[str, str]]:
    """List the NVIDIA GPUs on the PCI bus."""
    found = []
    for device in sorted((sysfs / "bus" / "pci" / "devices").glob("*")):
        try:
            vendor, kind, number = ((device / name).read_text().strip() for name in ("vendor", "class", "device"))
        except OSError:  # a device that was taken away meanwhile
            continue
        if vendor == NVIDIA and kind.startswith(DISPLAY_CLASSES):
            digits = number.removeprefix("0x")
            model = by_pci_id(f"10de:{digits}")
            found.append({"address": device.name, "device_id": digits, "model": model.name if model else "unknown"})
    return found


def driver_version(procfs: Path) -> str:
    """Give the version of the loaded driver, nothing where none is loaded."""
    path = procfs / "driver" / "nvidia" / "version"
    if not path.is_file():
        return ""
    found = re.search(r"Kernel Module(?: for \S+)?\s+(\d+(?:\.\d+)+)", path.read_text(encoding="utf-8"))
    return found[1] if found else ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "sysfs": {"type": "path", "default": "/sys"},
            "procfs": {"type": "path", "default": "/proc"},
        },
        supports_check_mode=True,
    )
    sysfs, procfs = Path(module.params["sysfs"]), Path(module.params["procfs"])
    module.exit_json(
        changed=False,
        gpus=gpus(sysfs),
        driver_version=driver_version(procfs),
        nouveau_loaded=(sysfs / "module" / "nouveau").is_dir(),
    )


if __name__ == "__main__":
    main()
