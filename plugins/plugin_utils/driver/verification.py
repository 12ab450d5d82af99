# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of an installed driver with its plan."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import HostFacts, KernelModule
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.support import branch_of


def driver_problems(host: HostFacts, *, branch: int, flavour: str, fabric_manager: str) -> list[str]:
    """Return what is wrong with an installed driver: packages, modules of the boot kernel, libraries, fabric manager.

    `branch` and `flavour` are the planned ones; `fabric_manager` is the name of its package, empty when not needed.
    """
    problems = [
        f"package {name} is {package['state']}"
        for name, package in sorted(host["packages"].items())
        if package["state"] != "installed"
    ]
    for source in host["dkms"]:
        if not source["built"]:
            problems += [f"{source['name']} {source['version']}: {line}" for line in source["errors"]]
    problems += _module_problems(host, branch, flavour)
    libraries = host["userland_version"]
    if not libraries:
        problems.append("no driver libraries were installed")
    if fabric_manager and host["fabric_manager_version"] != libraries:
        manager = host["fabric_manager_version"] or "missing"
        problems.append(f"the fabric manager is {manager} and the driver is {libraries}")
    return problems


def _module_problems(host: HostFacts, branch: int, flavour: str) -> Iterator[str]:
    """Yield the problems of the modules for the kernel that the next boot starts."""
    kernel = host["boot_kernel"] or (host["kernels"][-1]["release"] if host["kernels"] else "")
    modules = host["modules"].get(kernel, [])
    if not modules:
        has_headers = any(entry["release"] == kernel and entry["headers"] for entry in host["kernels"])
        yield f"no NVIDIA module was built for kernel {kernel or 'of the host'}{'' if has_headers else ' (no headers)'}"
    for module in modules:
        yield from _problems_of(module, host, branch, flavour)


def _problems_of(module: KernelModule, host: HostFacts, branch: int, flavour: str) -> Iterator[str]:
    """Yield the problems of one module."""
    version, libraries = module["version"], host["userland_version"]
    if version and libraries and version != libraries:
        yield f"the module is {version} and the libraries are {libraries}"
    if version and branch and branch_of(version) != branch:
        yield f"the module is {version}, and R{branch} was planned"
    if flavour and module["flavour"] != flavour:
        yield f"the module is the {module['flavour']} one, and the {flavour} one was planned"
    if host["secure_boot"] == "enabled" and not module["signer"]:
        yield f"the module {module['path']} is not signed, and Secure Boot would reject it"
