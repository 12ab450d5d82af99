# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels on the disk and NVIDIA's modules for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import DkmsModule, Kernel, KernelModule
from ansible_collections.gpulab.core.plugins.module_utils.gpu.files import read

Modinfo = Callable[[Path], Mapping[str, str]]
"""Returns the fields of modinfo(8) for the file of a kernel module."""

MAX_ERRORS = 20
"""Lines of a build log that are reported at most."""


def kernels(root: Path) -> list[Kernel]:
    """Return the kernels on the disk, the newest last, and whether image and headers are installed."""
    result: list[Kernel] = []
    for directory in (root / "lib" / "modules").glob("*"):
        installed = (root / "boot" / f"vmlinuz-{directory.name}").exists() or (directory / "kernel").is_dir()
        headers = (directory / "build" / "Makefile").exists() or _link_has_makefile(root, directory / "build")
        if installed or headers:
            result.append({"release": directory.name, "installed": installed, "headers": headers})
    return sorted(result, key=lambda kernel: [int(part) for part in re.findall(r"\d+", kernel["release"])])


def _link_has_makefile(root: Path, link: Path) -> bool:
    """Return whether an absolute link leads to kernel headers below another root directory."""
    if root == Path("/") or not link.is_symlink():
        return False
    return (root / str(link.readlink()).lstrip("/") / "Makefile").exists()


def module_files(root: Path, release: str) -> list[Path]:
    """Return the files of NVIDIA's main module for a kernel: nvidia.ko, on Debian nvidia-current.ko."""
    result = []
    for path in (root / "lib" / "modules" / release).rglob("nvidia*.ko*"):
        stem = path.name.partition(".ko")[0]
        if re.fullmatch(r"nvidia|nvidia-current(-open)?|nvidia-tesla(-\d+)?(-open)?", stem):
            result.append(path)
    return sorted(result)


def modules(root: Path, modinfo: Modinfo) -> dict[str, list[KernelModule]]:
    """Return NVIDIA's modules on the disk by kernel release."""
    result: dict[str, list[KernelModule]] = {}
    for kernel in kernels(root):
        result[kernel["release"]] = []
        for path in module_files(root, kernel["release"]):
            fields = modinfo(path)
            result[kernel["release"]].append(
                {
                    "path": "/" + str(path.relative_to(root)),
                    "version": fields.get("version", ""),
                    "signer": fields.get("signer", ""),
                    "flavour": "open" if "MIT" in fields.get("license", "") else "proprietary",
                }
            )
    return result


def dkms(root: Path) -> list[DkmsModule]:
    """Return DKMS's record: modules, the kernels that they are built for, and errors of the last build."""
    result: list[DkmsModule] = []
    for version in sorted((root / "var" / "lib" / "dkms").glob("nvidia*/*")):
        if not version.is_dir() or version.is_symlink() or version.name == "original_module":
            continue
        built = sorted(
            path.parent.name
            for path in version.glob("*/*")
            if (path / "module").is_dir() and path.parent.name != "build"
        )
        log = read(version / "build" / "make.log").splitlines()
        errors = [line.strip() for line in log if "error:" in line.lower()]
        result.append(
            {"name": version.parent.name, "version": version.name, "built": built, "errors": errors[:MAX_ERRORS]}
        )
    return result


def is_blocked(root: Path, module: str) -> bool:
    """Return whether modprobe.d(5) keeps a module from being loaded automatically."""
    pattern = re.compile(rf"^\s*blacklist\s+{module}\s*$", re.MULTILINE)
    directories = ("etc/modprobe.d", "run/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d")
    return any(pattern.search(read(path)) for directory in directories for path in (root / directory).glob("*.conf"))
