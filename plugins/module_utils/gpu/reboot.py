# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reasons to restart a host for its driver."""

from __future__ import annotations

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import HostFacts


def reboot_reasons(host: HostFacts) -> list[str]:
    """Return why a host must restart before its driver can be used; an empty list in containers and images."""
    if host["container"] or all(gpu["address"] == "expected" for gpu in host["gpus"]):
        return []
    boot = host["modules"].get(host["boot_kernel"], [])
    on_disk = [module["version"] for module in boot if module["version"]]
    if not on_disk:
        return []
    if host["nouveau_loaded"]:
        return ["nouveau is loaded, and NVIDIA's module cannot be loaded next to it"]
    if host["driver_version"] and host["driver_version"] not in on_disk:
        return [f"driver {host['driver_version']} is loaded and {on_disk[0]} is installed"]
    if not host["driver_version"]:
        running = host["modules"].get(host["running_kernel"], [])
        if host["running_kernel"] != host["boot_kernel"] and not running:
            return [f"the module is for kernel {host['boot_kernel']}, and {host['running_kernel']} is running"]
        if host["secure_boot"] == "enabled" and any("DKMS" in module["signer"] for module in boot):
            return []  # the key must be enrolled at the console: a restart alone would change nothing
        return [f"driver {on_disk[0]} is installed and could not be loaded"]
    return []
