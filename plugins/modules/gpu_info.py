#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.gpu_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_info
author: The gpulab team (@gpulab)
short_description: The NVIDIA GPUs, the kernels and the driver of a host
description:
  - Reads the GPUs from the PCI bus, the loaded driver from the kernel, and the installed one from the host's files.
    Needs neither lspci nor nvidia-smi, and is right in containers.
  - Only reads; behaves the same in check mode.
options:
  expected:
    description:
      - Device ids (four hexadecimal digits, such as C(1eb8)) of GPUs to assume where the bus has none, as when the
        image of a GPU host is built on another machine.
    type: list
    elements: str
    default: []
  root:
    description: Where the host's files are.
    type: path
    default: /
  sysfs:
    description: Where the kernel shows its devices.
    type: path
    default: /sys
  procfs:
    description: Where the kernel shows its state.
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
  description:
    - One entry for each GPU, with C(address) on the PCI bus, C(device_id) (four hexadecimal digits) and C(model).
    - Where the collection's table holds the id, also C(architecture), C(compute_capability), C(memory_gb),
      C(mig_capable), C(kernel_modules), C(min_driver) and C(last_driver_branch). Else C(model) is C(unknown).
  type: list
  elements: dict
  returned: always
requirements:
  description:
    - What a driver must be to carry all known GPUs at once, with C(kernel_modules) (the flavours that all of them
      take), C(min_driver), C(last_driver_branch), C(lowest_compute_capability), C(highest_compute_capability), and the
      ids of C(unknown) GPUs.
  type: dict
  returned: always
fabric:
  description: What joins the GPUs, C(none), C(nvswitch) (needs the fabric manager) or C(rack) (needs nvidia-imex).
  type: str
  returned: always
driver_version:
  description: Version of the loaded driver, empty where none is loaded.
  type: str
  returned: always
driver_flavour:
  description: Flavour of the loaded kernel module, C(open) or C(proprietary), empty where none is loaded.
  type: str
  returned: always
driver_kind:
  description:
    - How the driver came to the host, C(none), C(package), C(runfile), C(cloud_image), C(injected) (by the runtime of a
      container) or C(unknown).
  type: str
  returned: always
userland_version:
  description: Version of the installed driver libraries, empty where there are none.
  type: str
  returned: always
fabric_manager_version:
  description: Version of the installed fabric manager, empty where there is none.
  type: str
  returned: always
packages:
  description: The driver's packages by name, each with C(version) and C(state) as dpkg has it.
  type: dict
  returned: always
kernels:
  description: Kernels on the disk, the newest last, with C(release), C(installed) and C(headers).
  type: list
  elements: dict
  returned: always
running_kernel:
  description: Release of the running kernel; in a container, of the machine's.
  type: str
  returned: always
boot_kernel:
  description: Release of the newest installed kernel, which the next boot takes; empty where none is installed.
  type: str
  returned: always
modules:
  description: NVIDIA's kernel modules on the disk by kernel, with C(path), C(version), C(signer) and C(flavour).
  type: dict
  returned: always
dkms:
  description: What DKMS knows, with C(name), C(version), the kernels that it C(built) for, and C(errors) of a build.
  type: list
  elements: dict
  returned: always
managed:
  description: What the role C(nvidia_driver) wrote down about the driver that it installed; empty where it did not.
  type: dict
  returned: always
nouveau_loaded:
  description: Whether the free driver that stands in the way of NVIDIA's is loaded.
  type: bool
  returned: always
nouveau_blocked:
  description: Whether it is kept from being loaded.
  type: bool
  returned: always
secure_boot:
  description: C(enabled), C(disabled), or C(none) where the host has no UEFI.
  type: str
  returned: always
virtualization:
  description: The hypervisor, C(none) on bare metal.
  type: str
  returned: always
container:
  description: The container manager, empty on a machine of its own.
  type: str
  returned: always
processes:
  description: Who holds a GPU open and computes, with C(pid), C(user) and C(name).
  type: list
  elements: dict
  returned: always
system:
  description: The operating system, with C(id), C(version), C(codename), and the processor as C(machine).
  type: dict
  returned: always
"""

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils import gpu_host


def modinfo_of(module: AnsibleModule, path: Path) -> dict[str, str]:
    """Read a kernel module's own description; nothing where modinfo is missing."""
    program = module.get_bin_path("modinfo", opt_dirs=["/sbin", "/usr/sbin"])
    if not program:
        return {}
    _code, output, _errors = module.run_command([program, str(path)])
    pairs = (line.partition(":") for line in output.splitlines())
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
    gpus = gpu_host.gpus(sysfs, module.params["expected"])
    version, flavour = gpu_host.loaded(procfs)
    packages = gpu_host.packages(root)
    kernels = gpu_host.kernels(root)
    installed = [kernel["release"] for kernel in kernels if kernel["installed"]]
    module.exit_json(
        changed=False,
        gpus=gpus,
        requirements=gpu_host.requirements(gpus),
        fabric=gpu_host.fabric(sysfs, gpus),
        driver_version=version,
        driver_flavour=flavour,
        driver_kind=gpu_host.kind(root, procfs, packages),
        userland_version=gpu_host.userland(root),
        fabric_manager_version=gpu_host.fabric_manager(packages),
        packages=packages,
        kernels=kernels,
        running_kernel=os.uname().release,
        boot_kernel=installed[-1] if installed else "",
        modules=gpu_host.modules(root, lambda path: modinfo_of(module, path)),
        dkms=gpu_host.dkms(root),
        managed=gpu_host.managed(root),
        nouveau_loaded=(sysfs / "module" / "nouveau").is_dir(),
        nouveau_blocked=gpu_host.blocked(root, "nouveau"),
        secure_boot=gpu_host.secure_boot(sysfs),
        virtualization=gpu_host.virtualization(sysfs, procfs),
        container=gpu_host.container(root, procfs),
        processes=gpu_host.processes(procfs) if gpus else [],
        system=gpu_host.system(root, os.uname().machine),
    )


if __name__ == "__main__":
    main()
