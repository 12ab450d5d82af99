# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths on a host, and facts that can be read from them without starting a program."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from gpulab_cli import layers

ENVIRONMENTS = layers.ENVIRONMENTS
KERNELS = Path("/usr/local/share/jupyter/kernels")
DRIVER = Path("/proc/driver/nvidia")


@dataclass(frozen=True)
class Environment:
    """A Python environment: its name and its interpreter."""

    name: str
    python: Path

    @property
    def site(self) -> Path | None:
        """The directory of its packages, None if it has no directory of its own."""
        return next((self.python.parents[1] / "lib").glob("python3.*/site-packages"), None)

    def packages(self) -> list[Distribution]:
        """Return the installed packages."""
        return list(distributions(path=[str(self.site)])) if self.site else []

    def versions(self) -> dict[str, str]:
        """Return the installed versions, by normalised name (Python packaging: tensorflow_cpu is tensorflow-cpu)."""
        return {
            re.sub(r"[-_.]+", "-", str(package.metadata["Name"])).lower(): package.version
            for package in self.packages()
        }


def environments(directory: Path = ENVIRONMENTS) -> list[Environment]:
    """Return the environments of the host."""
    return [Environment(path.parents[2].name, path) for path in sorted(directory.glob("*/current/bin/python"))]


def gpu_names(driver: Path = DRIVER) -> list[str]:
    """Return the names of the GPUs of the loaded driver."""
    directories = sorted((driver / "gpus").iterdir()) if (driver / "gpus").is_dir() else []
    texts = [(directory / "information").read_text(encoding="utf-8") for directory in directories]
    return [match[1].strip() if (match := re.search(r"Model:\s*(.+)", text)) else "unknown" for text in texts]


def driver_version(driver: Path = DRIVER) -> str:
    """Return the version of the loaded driver, empty if none is loaded."""
    path = driver / "version"
    if not path.is_file():
        return ""
    match = re.search(r"Kernel Module(?: for \S+)?\s+(\d+(?:\.\d+)+)", path.read_text(encoding="utf-8"))
    return match[1] if match else ""


def gpus_on_bus(devices: Path = Path("/sys/bus/pci/devices")) -> int:
    """Return the number of NVIDIA GPUs on the PCI bus, with or without a driver."""
    count = 0
    for device in devices.glob("*"):
        try:
            vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
        except OSError:  # the device was removed
            continue
        count += vendor == "0x10de" and kind.startswith(("0x0300", "0x0302"))
    return count


def cores() -> int:
    """Return the number of cores that this process may use: its CPU affinity, or its unit's quota if that is less."""
    count = len(os.sched_getaffinity(0))
    path = Path("/proc/self/cgroup")
    group = path.read_text(encoding="ascii").strip().rpartition(":")[2] if path.is_file() else "/"
    own = Path("/sys/fs/cgroup") / group.lstrip("/")
    for directory in (own, *own.parents):
        limit = directory / "cpu.max"
        if limit.is_file() and (fields := limit.read_text(encoding="ascii").split())[0] != "max":
            count = min(count, max(1, int(fields[0]) // int(fields[1])))
    return count


def kernel_command(directory: Path) -> list[str]:
    """Return the command of a Jupyter kernel, empty if its file is damaged."""
    try:
        return [str(word) for word in json.loads((directory / "kernel.json").read_text(encoding="utf-8"))["argv"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
