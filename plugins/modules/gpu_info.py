#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module gpulab.core.gpu_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_info
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Read the NVIDIA GPUs, the kernels and the driver of a host
description:
  - Reads the GPUs from the PCI bus, the loaded driver from /proc, and the installed driver from the host's files.
    Needs neither lspci nor nvidia-smi, and is right in containers, too.
  - Changes nothing, and does the same in check mode.
options:
  expected:
    description:
      - Device ids (four hexadecimal digits, such as C(1eb8)) of GPUs to assume where the bus has none, for example when
        the image of a GPU host is built on another machine.
    type: list
    elements: str
    default: []
  root:
    description: Root directory of the host's files.
    type: path
    default: /
  sysfs:
    description: Mount point of sysfs.
    type: path
    default: /sys
  procfs:
    description: Mount point of procfs.
    type: path
    default: /proc
extends_documentation_fragment: [gpulab.core.check_mode, gpulab.core.reads_only]
"""

EXAMPLES = r"""
- name: Read the GPUs
  gpulab.core.gpu_info:
  register: __example_gpu
"""

RETURN = r"""
gpus:
  description: The GPUs. Only models of the collection's table have the keys after C(model).
  type: list
  elements: dict
  returned: always
  contains:
    address: {description: Address on the PCI bus; C(expected) for a GPU of O(expected)., type: str}
    device_id: {description: PCI device id in four hexadecimal digits., type: str}
    model: {description: Name of the model; C(unknown) where the table lacks the id., type: str}
    architecture: {description: Architecture., type: str}
    compute_capability: {description: Compute capability., type: str}
    memory_gb: {description: Memory in GB., type: int}
    mig_capable: {description: Whether the GPU can be partitioned with MIG., type: bool}
    kernel_modules: {description: Flavours of the kernel module that support the GPU., type: list, elements: str}
    min_driver: {description: Oldest driver that supports the GPU; null for any that is still in use., type: str}
    last_driver_branch: {description: Last driver branch that supports the GPU; null for the newest., type: int}
  sample:
    - address: "0000:00:04.0"
      device_id: 1eb8
      model: T4
      architecture: Turing
      compute_capability: "7.5"
      memory_gb: 16
      mig_capable: false
      kernel_modules: [open, proprietary]
      min_driver: null
      last_driver_branch: null
requirements:
  description: Requirements of all known GPUs together on their driver.
  type: dict
  returned: always
  contains:
    kernel_modules: {description: Flavours of the kernel module that all GPUs support., type: list, elements: str}
    min_driver: {description: Oldest driver that supports all GPUs., type: str}
    last_driver_branch: {description: Last branch that supports all GPUs., type: int}
    lowest_compute_capability: {description: Lowest compute capability., type: str}
    highest_compute_capability: {description: Highest compute capability., type: str}
    unknown: {description: Device ids that the table lacks., type: list, elements: str}
  sample:
    kernel_modules: [open, proprietary]
    min_driver: null
    last_driver_branch: null
    lowest_compute_capability: "7.5"
    highest_compute_capability: "7.5"
    unknown: []
fabric:
  description: What connects the GPUs, C(none), C(nvswitch) (needs the fabric manager) or C(rack) (needs nvidia-imex).
  type: str
  returned: always
  sample: none
driver_version:
  description: Version of the loaded driver, empty when none is loaded.
  type: str
  returned: always
  sample: 580.95.05
driver_flavour:
  description: Flavour of the loaded kernel module, C(open) or C(proprietary), empty when none is loaded.
  type: str
  returned: always
  sample: open
driver_kind:
  description:
    - How the driver was installed, C(none), C(package), C(runfile), C(cloud_image), C(injected) (by the runtime of a
      container) or C(unknown).
  type: str
  returned: always
  sample: package
userland_version:
  description: Version of the installed driver libraries, empty when there are none.
  type: str
  returned: always
  sample: 580.95.05
fabric_manager_version:
  description: Version of the installed fabric manager, empty when there is none.
  type: str
  returned: always
  sample: ""
packages:
  description: Packages of the driver by name, each with C(version), and C(state) as in dpkg(1).
  type: dict
  returned: always
  sample: {libcuda1: {version: 580.95.05-1, state: installed}}
kernels:
  description: Kernels on the disk, the newest last.
  type: list
  elements: dict
  returned: always
  contains:
    release: {description: Release., type: str}
    installed: {description: Whether the kernel itself is installed., type: bool}
    headers: {description: Whether its headers are installed., type: bool}
  sample: [{release: 6.1.0-56-amd64, installed: true, headers: true}]
running_kernel:
  description: Release of the running kernel; in a container, the machine's.
  type: str
  returned: always
  sample: 6.1.0-56-amd64
boot_kernel:
  description: Release of the newest installed kernel, which the next boot starts; empty when none is installed.
  type: str
  returned: always
  sample: 6.1.0-56-amd64
modules:
  description: NVIDIA's kernel modules on the disk, as lists by kernel release.
  type: dict
  returned: always
  contains:
    path: {description: Path., type: str}
    version: {description: Version., type: str}
    signer: {description: Name of the key that signed the module; empty without a signature., type: str}
    flavour: {description: C(open) or C(proprietary)., type: str}
  sample:
    6.1.0-56-amd64:
      - path: /lib/modules/6.1.0-56-amd64/updates/dkms/nvidia.ko
        version: 580.95.05
        signer: DKMS module signing key
        flavour: open
dkms:
  description: NVIDIA's modules in DKMS's record.
  type: list
  elements: dict
  returned: always
  contains:
    name: {description: Name., type: str}
    version: {description: Version., type: str}
    built: {description: Releases of the kernels that the module is built for., type: list, elements: str}
    errors: {description: Errors in the log of the last build., type: list, elements: str}
  sample: [{name: nvidia, version: 580.95.05, built: [6.1.0-56-amd64], errors: []}]
managed:
  description: The record of the role C(nvidia_driver) of the driver that it installed; empty for any other driver.
  type: dict
  returned: always
  sample: {source: nvidia_repo, branch: 580, flavour: open, version: 580.95.05-1}
nouveau_loaded:
  description: Whether nouveau is loaded, which excludes NVIDIA's module.
  type: bool
  returned: always
  sample: false
nouveau_blocked:
  description: Whether modprobe.d(5) keeps nouveau from being loaded.
  type: bool
  returned: always
  sample: true
secure_boot:
  description: C(enabled), C(disabled), or C(none) on a host without UEFI.
  type: str
  returned: always
  sample: disabled
virtualization:
  description: The hypervisor, C(none) on bare metal.
  type: str
  returned: always
  sample: google
container:
  description: The container manager, empty on a physical or virtual machine.
  type: str
  returned: always
  sample: ""
processes:
  description: Processes that hold a GPU open, without programs that only manage GPUs.
  type: list
  elements: dict
  returned: always
  contains:
    pid: {description: Process id., type: int}
    user: {description: Name of the user., type: str}
    name: {description: Name of the program., type: str}
  sample: [{pid: 4711, user: ada, name: python3}]
system:
  description: Operating system as in os-release(5), and processor.
  type: dict
  returned: always
  sample: {id: debian, version: "12", codename: bookworm, machine: x86_64}
reboot_reasons:
  description: Why the host must restart before its driver can be used; empty also without a driver.
  type: list
  elements: str
  returned: always
  sample: [driver 580.95.05 is loaded and 580.126.09 is installed]
"""

import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.gpu.host import read_host
from ansible_collections.gpulab.core.plugins.module_utils.gpu.reboot import reboot_reasons

MODINFO_SECONDS = 30


def modinfo(module: AnsibleModule, path: Path) -> dict[str, str]:
    """Return the fields of a kernel module's description, none when modinfo is missing or takes too long."""
    program = module.get_bin_path("modinfo", opt_dirs=["/sbin", "/usr/sbin"])
    if not program:
        return {}
    try:
        argv = [program, str(path)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=MODINFO_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        module.warn(f"modinfo {path} took longer than {MODINFO_SECONDS} seconds: nothing is known about this module")
        return {}
    pairs = (line.partition(":") for line in done.stdout.splitlines())
    return {key: value.strip() for key, mark, value in pairs if mark}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "expected": {"type": "list", "elements": "str", "default": []},
            "root": {"type": "path", "default": "/"},
            "sysfs": {"type": "path", "default": "/sys"},
            "procfs": {"type": "path", "default": "/proc"},
        },
        supports_check_mode=True,
    )
    root, sysfs, procfs = (Path(module.params[name]) for name in ("root", "sysfs", "procfs"))
    host = read_host(root, sysfs, procfs, module.params["expected"], lambda path: modinfo(module, path))
    module.exit_json(changed=False, reboot_reasons=reboot_reasons(host), **host)


if __name__ == "__main__":
    main()
