# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firmware, virtualization, operating system and processes of a host."""

from __future__ import annotations

import pwd
import re
from pathlib import Path

from ansible_collections.gpulab.core.plugins.module_utils.common.host_state import os_release
from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import Process, System
from ansible_collections.gpulab.core.plugins.module_utils.gpu.files import read

SECURE_BOOT = "firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
"""The variable of the UEFI specification (3.3, globally defined variables); its last byte is 1 when enforced."""

GPU_NODE = re.compile(r"^/dev/(nvidia\d+|nvidia-uvm)$")
MANAGERS = frozenset(("nvidia-persiste", "nvidia-persistenced", "nv-hostengine", "dcgm-exporter", "nv-fabricmanage"))
"""Programs that hold a GPU open and do not compute (names as in /proc/PID/comm, which has 15 characters)."""

HYPERVISORS = {"Google": "google", "Amazon EC2": "amazon", "QEMU": "kvm", "VMware, Inc.": "vmware", "Xen": "xen"}
"""Hypervisors by the system vendor in the firmware's tables."""


def secure_boot(sysfs: Path) -> str:
    """Return whether the firmware enforces signatures: enabled, disabled, or none on a host without UEFI."""
    try:
        return "enabled" if (sysfs / SECURE_BOOT).read_bytes()[-1:] == b"\x01" else "disabled"
    except OSError:
        return "disabled" if (sysfs / "firmware" / "efi").is_dir() else "none"


def container(root: Path, procfs: Path) -> str:
    """Return the name of the container manager, an empty text on a physical or virtual machine."""
    if name := read(root / "run" / "systemd" / "container"):
        return name
    for mark, name in ((".dockerenv", "docker"), ("run/.containerenv", "podman")):
        if (root / mark).exists():
            return name
    match = re.search(r"(?:^|\0)container=([^\0]+)", read(procfs / "1" / "environ"))
    return match[1] if match else ""


def virtualization(sysfs: Path, procfs: Path) -> str:
    """Return the name of the hypervisor, `none` on bare metal."""
    vendor, product = (read(sysfs / "class" / "dmi" / "id" / name) for name in ("sys_vendor", "product_name"))
    if vendor in HYPERVISORS:
        return HYPERVISORS[vendor]
    if vendor == "Microsoft Corporation" and product == "Virtual Machine":
        return "microsoft"
    flags = re.search(r"^flags\s*:.*\bhypervisor\b", read(procfs / "cpuinfo"), re.MULTILINE)
    return "other" if flags else "none"


def processes(procfs: Path) -> list[Process]:
    """Return the processes that hold a GPU open, without programs that only manage GPUs."""
    result: list[Process] = []
    for directory in sorted(procfs.glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            nodes = {str(entry.readlink()) for entry in (directory / "fd").iterdir()}
            owner = directory.stat().st_uid
        except OSError:  # the process ended meanwhile
            continue
        name = read(directory / "comm")
        if any(GPU_NODE.match(node) for node in nodes) and name not in MANAGERS:
            result.append({"pid": int(directory.name), "user": user_name(owner), "name": name})
    return result


def user_name(uid: int) -> str:
    """Return the name of a user, the number where the host has no such account."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def system(root: Path, machine: str) -> System:
    """Return the operating system, with the names of os-release(5), and the processor."""
    release = os_release(root / "etc" / "os-release")
    return {
        "id": release.get("ID", ""),
        "version": release.get("VERSION_ID", ""),
        "codename": release.get("VERSION_CODENAME", ""),
        "machine": machine,
    }
