"""Where things are on a host, and what can be read from them without starting anything."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

ENVIRONMENTS = Path("/opt/gpulab/envs")
KERNELS = Path("/usr/local/share/jupyter/kernels")
DRIVER = Path("/proc/driver/nvidia")


@dataclass(frozen=True)
class Environment:
    """One Python environment: its name, its interpreter, and its packages' directory."""

    name: str
    python: Path

    @property
    def site(self) -> Path | None:
        """The directory of its packages, none where it has none of its own."""
        return next((self.python.parents[1] / "lib").glob("python3.*/site-packages"), None)

    def packages(self) -> list[Distribution]:
        """Give what is installed."""
        return list(distributions(path=[str(self.site)])) if self.site else []

    def versions(self) -> dict[str, str]:
        """Give what is installed, by normalised name (Python packaging: tensorflow_cpu is tensorflow-cpu)."""
        names = ((re.sub(r"[-_.]+", "-", str(each.metadata["Name"])).lower(), each.version) for each in self.packages())
        return dict(names)


def environments(directory: Path = ENVIRONMENTS) -> list[Environment]:
    """Find the lab's environments."""
    return [Environment(path.parents[2].name, path) for path in sorted(directory.glob("*/current/bin/python"))]


def gpu_names(driver: Path = DRIVER) -> list[str]:
    """Name the GPUs that the loaded driver serves."""
    directories = sorted((driver / "gpus").iterdir()) if (driver / "gpus").is_dir() else []
    texts = [(directory / "information").read_text(encoding="utf-8") for directory in directories]
    return [found[1] if (found := re.search(r"Model:\s*(.+)", text)) else "unknown" for text in texts]


def driver_version(driver: Path = DRIVER) -> str:
    """Give the version of the loaded driver, nothing where none is loaded."""
    path = driver / "version"
    if not path.is_file():
        return ""
    found = re.search(r"Kernel Module(?: for \S+)?\s+(\d+(?:\.\d+)+)", path.read_text(encoding="utf-8"))
    return found[1] if found else ""


def gpus_on_bus(devices: Path = Path("/sys/bus/pci/devices")) -> int:
    """Count the NVIDIA GPUs on the PCI bus, whether a driver serves them or not."""
    count = 0
    for device in devices.glob("*"):
        try:
            vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
        except OSError:  # it was taken away meanwhile
            continue
        count += vendor == "0x10de" and kind.startswith(("0x0300", "0x0302"))
    return count


def cores() -> int:
    """Give the cores that this process may use: those it may run on, or less where its unit's quota is less."""
    allowed = len(os.sched_getaffinity(0))
    path = Path("/proc/self/cgroup")
    group = path.read_text(encoding="ascii").strip().rpartition(":")[2] if path.is_file() else "/"
    for directory in (
        Path("/sys/fs/cgroup") / group.lstrip("/"),
        *(Path("/sys/fs/cgroup") / group.lstrip("/")).parents,
    ):
        limit = directory / "cpu.max"
        if limit.is_file() and (fields := limit.read_text(encoding="ascii").split())[0] != "max":
            allowed = min(allowed, max(1, int(fields[0]) // int(fields[1])))
    return allowed


def kernel_command(directory: Path) -> list[str]:
    """Give the command of a Jupyter kernel, nothing where its file is damaged."""
    try:
        return [str(word) for word in json.loads((directory / "kernel.json").read_text(encoding="utf-8"))["argv"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
