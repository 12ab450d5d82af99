# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loaded and the installed NVIDIA driver, read from /proc and the files of the host."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import DriverRecord, Package
from ansible_collections.gpulab.core.plugins.module_utils.gpu.files import read
from ansible_collections.gpulab.core.plugins.module_utils.gpu.versions import numbers

LIBRARIES = ("usr/lib/*-linux-gnu", "usr/lib/*-linux-gnu/nvidia/*", "usr/lib64", "usr/lib", "usr/local/nvidia/lib64")
"""Directories in which distributions, NVIDIA's packages and .run file, and container runtimes put the libraries."""

RECORD = "var/lib/gpulab/driver.json"
"""File in which the role nvidia_driver records what it installed."""

DRIVER_PACKAGES = (
    "nvidia-kernel-*",
    "nvidia-*-kernel-*",
    "nvidia-dkms-*",
    "nvidia-driver*",
    "nvidia-open*",
    "nvidia-smi",
    "nvidia-utils-*",
    "nvidia-tesla-*",
    "nvidia-fabricmanager*",
    "nvidia-persistenced",
    "nvidia-modprobe",
    "linux-modules-nvidia-*",
    "linux-objects-nvidia-*",
    "cuda-drivers*",
    "libcuda1*",
    "libnvidia-compute*",
    "libnvidia-ml1*",
)
"""Packages that are part of a driver, as Debian, Ubuntu and NVIDIA name them."""


def loaded(procfs: Path) -> tuple[str, str]:
    """Return version and flavour of the loaded module, two empty texts when none is loaded."""
    text = read(procfs / "driver" / "nvidia" / "version")
    match = re.search(r"Kernel Module(?: for \S+)?\s+(\d+(?:\.\d+)+)", text)
    if not match:
        return "", ""
    return match[1], "open" if "Open Kernel Module" in text else "proprietary"


def packages(root: Path) -> dict[str, Package]:
    """Return the packages of a driver from dpkg's record, with their version and state."""
    result: dict[str, Package] = {}
    for entry in read(root / "var" / "lib" / "dpkg" / "status").split("\n\n"):
        name = re.search(r"^Package: (\S+)", entry, re.MULTILINE)
        if not name or not any(fnmatch.fnmatch(name[1], pattern) for pattern in DRIVER_PACKAGES):
            continue
        status = re.search(r"^Status: \S+ \S+ (\S+)$", entry, re.MULTILINE)
        version = re.search(r"^Version: (\S+)", entry, re.MULTILINE)
        if status and status[1] not in ("not-installed", "config-files"):
            result[name[1]] = {"version": version[1] if version else "", "state": status[1]}
    return result


def managed(root: Path) -> DriverRecord:
    """Return the role's record of the driver that it installed, an empty one when the file is missing or broken."""
    try:
        record = json.loads(read(root / RECORD) or "{}")
    except ValueError:
        return {}
    return cast(DriverRecord, record) if isinstance(record, dict) else {}


def userland(root: Path) -> str:
    """Return the version of the driver's libraries by the names of their files, the newest where there are several."""
    versions = set()
    for directory in LIBRARIES:
        for name in ("libnvidia-ml.so", "libcuda.so"):
            for path in root.glob(f"{directory}/{name}.*.*"):
                version = path.name.removeprefix(f"{name}.")
                if len(numbers(version)) > 1:
                    versions.add(version)
    return max(versions, key=numbers, default="")


def fabric_manager(installed: Mapping[str, Package]) -> str:
    """Return the version of the installed fabric manager without epoch and the distribution's suffix."""
    versions = [package["version"] for name, package in installed.items() if name.startswith("nvidia-fabricmanager")]
    return re.sub(r"^\d+:|[-~+].*$", "", versions[0]) if versions else ""


def kind(root: Path, procfs: Path, installed: Mapping[str, Package]) -> str:
    """Return how a driver was installed: package, runfile, cloud_image, injected, unknown, or none."""
    mounts = read(procfs / "self" / "mountinfo").split()
    if any(re.search(r"(^|/)(libcuda\.so|libnvidia-ml\.so)", mount) for mount in mounts):
        return "injected"
    if (root / "usr" / "bin" / "nvidia-uninstall").exists() or (root / "usr" / "bin" / "nvidia-installer").exists():
        return "runfile"
    pattern = r"(libcuda1|libnvidia-compute|nvidia-(kernel|dkms|tesla)|linux-modules-nvidia)"
    if any(re.match(pattern, name) for name in installed):
        return "package"
    if (root / "opt" / "google" / "cuda-installer").is_dir() or (root / "usr" / "local" / "nvidia").is_dir():
        return "cloud_image"
    return "unknown" if userland(root) or loaded(procfs)[0] else "none"
