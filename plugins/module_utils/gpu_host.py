# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host says about its GPUs, kernels and driver, read from its files: nothing is started, nothing is changed."""

from __future__ import annotations

import fnmatch
import json
import pwd
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .gpu_models import NVSWITCHES, RACK_SWITCHED, SWITCHED_FROM, GpuModel, by_pci_id, common, numbers
from .host_state import os_release

NVIDIA = "0x10de"
"""PCI vendor number of NVIDIA (pci.ids)."""

DISPLAY_CLASSES = ("0x0300", "0x0302")
"""PCI classes of a VGA controller and a 3D controller (PCI Code and ID Assignment, class 03h)."""

BRIDGE_CLASS = "0x0680"
"""PCI class of an NVSwitch (class 06h, other bridge)."""

SECURE_BOOT = "firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
"""The variable of the UEFI specification (3.3, globally defined variables); its last byte is 1 when enforced."""

LIBRARIES = ("usr/lib/*-linux-gnu", "usr/lib/*-linux-gnu/nvidia/*", "usr/lib64", "usr/lib", "usr/local/nvidia/lib64")
"""Where distributions, NVIDIA's packages, its .run file and container runtimes put the driver's libraries."""

RECORD = "var/lib/gpulab/driver.json"
"""Where the role nvidia_driver writes down what it installed."""

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

NODE = re.compile(r"^/dev/(nvidia\d+|nvidia-uvm)$")
MANAGERS = frozenset(("nvidia-persiste", "nvidia-persistenced", "nv-hostengine", "dcgm-exporter", "nv-fabricmanage"))
"""Programs that hold a GPU open and compute nothing (names as in /proc/PID/comm, which has 15 characters)."""


def read(path: Path) -> str:
    """Give a file's text; nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def devices(sysfs: Path) -> list[tuple[str, str, str]]:
    """List NVIDIA's devices on the PCI bus: address, class and number."""
    found = []
    for device in sorted((sysfs / "bus" / "pci" / "devices").glob("*")):
        vendor, kind, number = (read(device / name) for name in ("vendor", "class", "device"))
        if vendor == NVIDIA:
            found.append((device.name, kind, number.removeprefix("0x")))
    return found


def gpu(address: str, number: str) -> dict[str, Any]:
    """Say what is known of a GPU by its device number."""
    model = by_pci_id(f"10de:{number}")
    if model is None:
        return {"address": address, "device_id": number, "model": "unknown"}
    return {
        "address": address,
        "device_id": number,
        "model": model.name,
        "architecture": model.architecture,
        "compute_capability": model.compute_capability,
        "memory_gb": model.memory_gb,
        "mig_capable": model.mig_capable,
        "kernel_modules": list(model.kernel_modules),
        "min_driver": model.min_driver,
        "last_driver_branch": model.last_driver_branch,
    }


def gpus(sysfs: Path, expected: Iterable[str] = ()) -> list[dict[str, Any]]:
    """List the NVIDIA GPUs on the PCI bus; where it has none, those that are expected."""
    found = [gpu(address, number) for address, kind, number in devices(sysfs) if kind.startswith(DISPLAY_CLASSES)]
    return found or [gpu("expected", number.lower().removeprefix("10de:")) for number in expected]


def requirements(found: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Intersect what the known GPUs of a host need, and name the unknown ones."""
    listed = list(found)
    models = [by_pci_id(f"10de:{entry['device_id']}") for entry in listed]
    known: list[GpuModel] = [model for model in models if model]
    shared = common(known)
    return {
        "kernel_modules": list(shared.kernel_modules) if known else [],
        "min_driver": shared.min_driver,
        "last_driver_branch": shared.last_driver_branch,
        "lowest_compute_capability": shared.lowest_compute_capability,
        "highest_compute_capability": shared.highest_compute_capability,
        "unknown": sorted({entry["device_id"] for entry in listed if entry["model"] == "unknown"}),
    }


def fabric(sysfs: Path, found: list[dict[str, Any]]) -> str:
    """Say what joins the GPUs: `nvswitch` (needs the fabric manager), `rack` (needs nvidia-imex) or `none`."""
    names = [entry["model"] for entry in found]
    if any(name in RACK_SWITCHED for name in names):
        return "rack"
    seen = any(
        kind.startswith(BRIDGE_CLASS) and f"10de:{number}" in NVSWITCHES for _address, kind, number in devices(sysfs)
    )
    counted = any(names.count(name) >= least for name, least in SWITCHED_FROM.items())
    return "nvswitch" if seen or counted else "none"


def loaded(procfs: Path) -> tuple[str, str]:
    """Give version and flavour of the loaded module, nothing where none is loaded."""
    text = read(procfs / "driver" / "nvidia" / "version")
    found = re.search(r"Kernel Module(?: for \S+)?\s+(\d+(?:\.\d+)+)", text)
    if not found:
        return "", ""
    return found[1], "open" if "Open Kernel Module" in text else "proprietary"


def secure_boot(sysfs: Path) -> str:
    """Say whether the firmware enforces signatures: enabled, disabled, or none where the host has no UEFI."""
    try:
        return "enabled" if (sysfs / SECURE_BOOT).read_bytes()[-1:] == b"\x01" else "disabled"
    except OSError:
        return "disabled" if (sysfs / "firmware" / "efi").is_dir() else "none"


def container(root: Path, procfs: Path) -> str:
    """Name the container manager; nothing on a machine of its own."""
    if name := read(root / "run" / "systemd" / "container"):
        return name
    for mark, name in ((".dockerenv", "docker"), ("run/.containerenv", "podman")):
        if (root / mark).exists():
            return name
    found = re.search(r"(?:^|\0)container=([^\0]+)", read(procfs / "1" / "environ"))
    return found[1] if found else ""


def virtualization(sysfs: Path, procfs: Path) -> str:
    """Name the hypervisor by what the firmware says; none on bare metal."""
    vendor, product = (read(sysfs / "class" / "dmi" / "id" / name) for name in ("sys_vendor", "product_name"))
    known = {"Google": "google", "Amazon EC2": "amazon", "QEMU": "kvm", "VMware, Inc.": "vmware", "Xen": "xen"}
    if vendor in known:
        return known[vendor]
    if vendor == "Microsoft Corporation" and product == "Virtual Machine":
        return "microsoft"
    flags = re.search(r"^flags\s*:.*\bhypervisor\b", read(procfs / "cpuinfo"), re.MULTILINE)
    return "other" if flags else "none"


def kernels(root: Path) -> list[dict[str, Any]]:
    """List the installed kernels, the newest last, and whether their headers are there."""
    found = []
    for directory in (root / "lib" / "modules").glob("*"):
        image = (root / "boot" / f"vmlinuz-{directory.name}").exists() or (directory / "kernel").is_dir()
        headers = (directory / "build" / "Makefile").exists() or _linked(root, directory / "build")
        if image or headers:
            found.append({"release": directory.name, "installed": image, "headers": headers})
    return sorted(found, key=lambda kernel: [int(part) for part in re.findall(r"\d+", str(kernel["release"]))])


def _linked(root: Path, link: Path) -> bool:
    """Follow an absolute link inside a recorded tree."""
    if root == Path("/") or not link.is_symlink():
        return False
    return (root / str(link.readlink()).lstrip("/") / "Makefile").exists()


def module_files(root: Path, release: str) -> list[Path]:
    """List the files of NVIDIA's main module for a kernel: nvidia.ko, and nvidia-current.ko as Debian calls it."""
    found = []
    for path in (root / "lib" / "modules" / release).rglob("nvidia*.ko*"):
        stem = path.name.partition(".ko")[0]
        if re.fullmatch(r"nvidia|nvidia-current(-open)?|nvidia-tesla(-\d+)?(-open)?", stem):
            found.append(path)
    return sorted(found)


def modules(root: Path, modinfo: Callable[[Path], dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    """Say by kernel which modules are on disk: path, version, signer, licence."""
    found: dict[str, list[dict[str, str]]] = {}
    for kernel in kernels(root):
        release = kernel["release"]
        entries = []
        for path in module_files(root, release):
            fields = modinfo(path)
            entries.append(
                {
                    "path": "/" + str(path.relative_to(root)),
                    "version": fields.get("version", ""),
                    "signer": fields.get("signer", ""),
                    "flavour": "open" if "MIT" in fields.get("license", "") else "proprietary",
                }
            )
        found[release] = entries
    return found


def dkms(root: Path) -> list[dict[str, Any]]:
    """Read DKMS's own record: which module sources are known, for which kernels they are built, how a build failed."""
    found = []
    for version in sorted((root / "var" / "lib" / "dkms").glob("nvidia*/*")):
        if not version.is_dir() or version.is_symlink() or version.name == "original_module":
            continue
        built = sorted(
            path.parent.name
            for path in version.glob("*/*")
            if (path / "module").is_dir() and path.parent.name != "build"
        )
        errors = [
            line.strip() for line in read(version / "build" / "make.log").splitlines() if "error:" in line.lower()
        ]
        found.append({"name": version.parent.name, "version": version.name, "built": built, "errors": errors[:20]})
    return found


def packages(root: Path) -> dict[str, dict[str, str]]:
    """List the packages of a driver in dpkg's record: version, and state as in dpkg(1)."""
    found = {}
    for entry in read(root / "var" / "lib" / "dpkg" / "status").split("\n\n"):
        name = re.search(r"^Package: (\S+)", entry, re.MULTILINE)
        if not name or not any(fnmatch.fnmatch(name[1], pattern) for pattern in DRIVER_PACKAGES):
            continue
        status = re.search(r"^Status: \S+ \S+ (\S+)$", entry, re.MULTILINE)
        version = re.search(r"^Version: (\S+)", entry, re.MULTILINE)
        if status and status[1] not in ("not-installed", "config-files"):
            found[name[1]] = {"version": version[1] if version else "", "state": status[1]}
    return found


def managed(root: Path) -> dict[str, Any]:
    """Give the role's own record of the driver that it installed; nothing where there is no whole one."""
    try:
        found = json.loads(read(root / RECORD) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def userland(root: Path) -> str:
    """Give the version of the driver's libraries, by the names of their files."""
    found = set()
    for directory in LIBRARIES:
        for name in ("libnvidia-ml.so", "libcuda.so"):
            for path in root.glob(f"{directory}/{name}.*.*"):
                version = path.name.removeprefix(f"{name}.")
                if len(numbers(version)) > 1:
                    found.add(version)
    return max(found, key=numbers, default="")


def fabric_manager(found: dict[str, dict[str, str]]) -> str:
    """Give the version of the installed fabric manager, without the distribution's additions."""
    versions = [entry["version"] for name, entry in found.items() if name.startswith("nvidia-fabricmanager")]
    return re.sub(r"^\d+:|[-~+].*$", "", versions[0]) if versions else ""


def kind(root: Path, procfs: Path, found: dict[str, dict[str, str]]) -> str:
    """Say how a driver came to the host: package, runfile, cloud_image, injected, unknown, or none."""
    if any(
        re.search(r"(^|/)(libcuda\.so|libnvidia-ml\.so)", line) for line in read(procfs / "self" / "mountinfo").split()
    ):
        return "injected"
    if (root / "usr" / "bin" / "nvidia-uninstall").exists() or (root / "usr" / "bin" / "nvidia-installer").exists():
        return "runfile"
    if any(
        re.match(r"(libcuda1|libnvidia-compute|nvidia-(kernel|dkms|tesla)|linux-modules-nvidia)", name)
        for name in found
    ):
        return "package"
    if (root / "opt" / "google" / "cuda-installer").is_dir() or (root / "usr" / "local" / "nvidia").is_dir():
        return "cloud_image"
    return "unknown" if userland(root) or loaded(procfs)[0] else "none"


def blocked(root: Path, module: str) -> bool:
    """Tell whether modprobe.d(5) keeps a module from being loaded by itself."""
    pattern = re.compile(rf"^\s*blacklist\s+{module}\s*$", re.MULTILINE)
    directories = ("etc/modprobe.d", "run/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d")
    return any(pattern.search(read(path)) for directory in directories for path in (root / directory).glob("*.conf"))


def processes(procfs: Path) -> list[dict[str, Any]]:
    """List who holds a GPU open: pid, user, name. Programs that only manage GPUs do not count."""
    found = []
    for process in sorted(procfs.glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            nodes = {str(entry.readlink()) for entry in (process / "fd").iterdir()}
            owner = process.stat().st_uid
        except OSError:  # the process ended meanwhile
            continue
        name = read(process / "comm")
        if any(NODE.match(node) for node in nodes) and name not in MANAGERS:
            try:
                user = pwd.getpwuid(owner).pw_name
            except KeyError:
                user = str(owner)
            found.append({"pid": int(process.name), "user": user, "name": name})
    return found


def system(root: Path, machine: str) -> dict[str, str]:
    """Name the operating system and the processor, as their vendors do."""
    found = os_release(root / "etc" / "os-release")
    return {
        "id": found.get("ID", ""),
        "version": found.get("VERSION_ID", ""),
        "codename": found.get("VERSION_CODENAME", ""),
        "machine": machine,
    }
