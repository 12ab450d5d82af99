# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver's side of a host, below any root directory: module, libraries, device nodes, toolkit, the kernel's log."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .gpus import Reading
from .report import FAILED, NOT_SUPPORTED, PASSED, SKIPPED, Check, check
from .running import StepError, last_line, run

LIBRARIES = ("usr/lib/*-linux-gnu", "usr/lib/*-linux-gnu/nvidia/*", "usr/lib64", "usr/lib", "usr/local/nvidia/lib64")
"""Directories of the driver's libraries, as in the collection's module gpu_info."""
SECONDS = 20.0

XIDS = {
    13: "a program's own fault in its GPU code",
    31: "a program read or wrote memory that is not its own",
    43: "a program's GPU work was stopped",
    45: "a program ended while its work was running",
    48: "uncorrected memory error",
    61: "fault of the GPU's microcontroller",
    62: "fault of the GPU's microcontroller",
    63: "rows of memory were remapped, or could not be recorded",
    64: "rows of memory could not be remapped",
    74: "fault of an NVLink",
    79: "the GPU has fallen off the bus",
    94: "contained memory error",
    95: "uncontained memory error",
    119: "the GPU's system processor does not answer",
    120: "fault of the GPU's system processor",
}
"""Numbers of NVIDIA's "XID Errors" document, in words."""
OF_PROGRAMS = frozenset((13, 31, 43, 45))
"""Errors that a faulty program causes on a healthy GPU."""


@dataclass
class Node:
    """A device node: its mode and the error of opening it, both empty where it does not exist."""

    name: str
    exists: bool = False
    mode: str = ""
    error: str = ""


@dataclass
class Driver:
    """The state of the driver on a host."""

    on_bus: int = 0
    loaded: str = ""
    flavour: str = ""
    userland: str = ""
    params: dict[str, str] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    toolkits: list[str] = field(default_factory=list)
    log: str = ""
    log_error: str = ""


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version for comparisons."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def text_of(path: Path) -> str:
    """Return the text of a file, empty when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def on_bus(root: Path) -> int:
    """Return the number of NVIDIA GPUs on the PCI bus."""
    devices = (root / "sys/bus/pci/devices").glob("*")
    found = [device for device in devices if text_of(device / "vendor").strip() == "0x10de"]
    return sum(text_of(device / "class").startswith(("0x0300", "0x0302")) for device in found)


def userland(root: Path) -> str:
    """Return the version of the driver's libraries by the names of their files, the newest where there are several."""
    versions = [
        path.name.split(".so.")[1]
        for directory in LIBRARIES
        for name in ("libnvidia-ml", "libcuda")
        for path in root.glob(f"{directory}/{name}.so.*.*")
    ]
    return max(versions, key=numbers, default="")


def open_error(path: Path) -> str:
    """Return why this user cannot open a device node, empty when it can."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return {
            errno.EACCES: "no permission",
            errno.EPERM: "blocked by the device rules of a cgroup",
            errno.ENXIO: "no driver serves it",
            errno.ENODEV: "no driver serves it",
        }.get(error.errno or 0, os.strerror(error.errno or 0))
    return ""


def node(root: Path, name: str) -> Node:
    """Return a device node."""
    path = root / "dev" / name
    try:
        mode = f"{stat.S_IMODE(path.stat().st_mode):04o}"
    except OSError:
        return Node(name)
    return Node(name, True, mode, open_error(path))


def required_nodes(root: Path) -> list[str]:
    """Return the nodes that a program opens: those of the driver's GPUs, and the two of the whole driver.

    A container may have the nodes and not the driver's directory in /proc; then the nodes themselves are what is known.
    """
    minors = []
    for path in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        match = re.search(r"Device Minor:\s*(\d+)", text_of(path))
        if match:
            minors.append(match[1])
    names = (path.name.replace("nvidia", "") for path in sorted((root / "dev").glob("nvidia[0-9]*")))
    minors = minors or [name for name in names if name.isdigit()]
    return ["nvidiactl", "nvidia-uvm", *(f"nvidia{minor}" for minor in minors)]


def read(root: Path) -> Driver:
    """Return the state of the driver of the host whose files are below a root directory."""
    version = text_of(root / "proc/driver/nvidia/version")
    match = re.search(r"Kernel Module(?: for \S+)?\s+(\d+(?:\.\d+)+)", version)
    result = Driver(on_bus(root), match[1] if match else "", userland=userland(root))
    if match:
        result.flavour = "open" if "Open Kernel Module" in version else "proprietary"
    if match or (root / "dev/nvidiactl").exists():
        result.nodes = [node(root, name) for name in required_nodes(root)]
    pairs = (line.partition(":") for line in text_of(root / "proc/driver/nvidia/params").splitlines())
    result.params = {name.strip(): value.strip() for name, _, value in pairs}
    result.toolkits = toolkits(root)
    result.log, result.log_error = kernel_log()
    return result


def toolkits(root: Path) -> list[str]:
    """Return the versions of nvcc on the search path and in the usual directories."""
    paths = [shutil.which("nvcc") or "", *(str(path) for path in sorted(root.glob("usr/local/cuda*/bin/nvcc")))]
    versions = []
    for path in dict.fromkeys(os.path.realpath(path) for path in paths if path):
        try:
            match = re.search(r"release (\d+\.\d+)", run([path, "--version"], SECONDS).stdout)
        except StepError:
            continue
        if match:
            versions.append(match[1])
    return sorted(set(versions), key=numbers)


def kernel_log() -> tuple[str, str]:
    """Return the kernel's messages about NVIDIA, and why they cannot be read."""
    reason = "neither dmesg nor journalctl exists"
    for argv in (["journalctl", "--dmesg", "--boot", "--no-pager", "--quiet", "--output=cat"], ["dmesg"]):
        if not shutil.which(argv[0]):
            continue
        try:
            done = run(argv, SECONDS)
        except StepError as error:
            reason = str(error)
            continue
        # journalctl prints nothing, with exit code 0, to a user who may not read the log.
        if done.returncode == 0 and done.stdout.strip():
            return "\n".join(
                line for line in done.stdout.splitlines() if "NVRM" in line or "nvidia" in line.lower()
            ), ""
        reason = last_line(done.stderr) or f"{argv[0]} prints nothing to this user"
    return "", reason


# --- verdicts ---------------------------------------------------------------------------------------------------------
def checks(driver: Driver, reading: Reading, tier: int, without: str = "") -> list[Check]:
    """Return all checks of the driver's side; with the reason `without`, all of them are skipped."""
    if without:
        names = ("driver.versions", "driver.nodes", "driver.toolkit", "driver.log")
        return [check(name, SKIPPED, without, tier) for name in names]
    gpus = sum(not gpu.error for gpu in reading.gpus)
    parts = [versions(driver, reading, tier), nodes(driver, gpus, tier), toolkit(driver.toolkits, reading.cuda, tier)]
    return [*parts, log(driver, tier)]


def planned(plan: Sequence[str], tier: int, without: str = "") -> Check:
    """Return the driver plan for this host, and whether it can be applied; a line has a name and a value."""
    name = "driver.plan"
    if without or not plan:
        return check(name, SKIPPED, without or "no driver plan was given (--plan)", tier)
    rows = [line.split(maxsplit=1) for line in plan]
    problems = [value for first, *value in rows if first == "PROBLEM"]
    if problems:
        return check(name, FAILED, "; ".join(text for value in problems for text in value), tier)
    return check(name, PASSED, "; ".join(" ".join(line.split()) for line in plan), tier)


def versions(driver: Driver, reading: Reading, tier: int) -> Check:
    """Return whether a driver is loaded, and whether its libraries have its version."""
    name = "driver.versions"
    if reading.driver and not driver.loaded:
        reason = f"driver {reading.driver} answers to {reading.reader}; /proc does not have it (a container)"
        return check(name, NOT_SUPPORTED, reason, tier)
    if not driver.loaded:
        seen = f"{driver.on_bus} NVIDIA GPUs are on the PCI bus" if driver.on_bus else "a GPU is expected"
        fix = "Install one (role nvidia_driver), or load it (modprobe nvidia); `journalctl -k` has the reason."
        return check(name, FAILED, f"{seen}, and no NVIDIA driver is loaded. {fix}", tier)
    if not driver.userland:
        reason = f"driver {driver.loaded} is loaded; its libraries are in none of the usual directories"
        return check(name, SKIPPED, reason, tier)
    if driver.userland != driver.loaded:
        reason = f"the loaded kernel module has version {driver.loaded}, and the libraries have {driver.userland}"
        return check(name, FAILED, f"{reason}. Restart the host, or unload and load the module.", tier)
    return check(name, PASSED, f"driver {driver.loaded} ({driver.flavour} module) is loaded, with its libraries", tier)


def nodes(driver: Driver, gpus: int, tier: int) -> Check:
    """Return whether the device nodes exist and this user may open them."""
    name = "driver.nodes"
    if not driver.loaded and not gpus:
        return check(name, SKIPPED, "no driver is loaded", tier)
    if not driver.nodes:
        return check(name, SKIPPED, "the GPUs have no device nodes of their own here", tier)
    missing = [f"/dev/{each.name}" for each in driver.nodes if not each.exists]
    if missing:
        fix = "As root: nvidia-modprobe -c 0 -u"
        return check(name, FAILED, f"the driver is loaded, and {', '.join(missing)} does not exist. {fix}", tier)
    closed = [f"/dev/{each.name} (mode {each.mode}): {each.error}" for each in driver.nodes if each.error]
    if closed:
        return check(name, FAILED, f"this user cannot open {'; '.join(closed)}", tier)
    words = ", ".join(f"/dev/{each.name} {each.mode}" for each in driver.nodes)
    served = sum(bool(re.fullmatch(r"nvidia\d+", each.name)) for each in driver.nodes)
    if served < gpus:
        return check(name, FAILED, f"the driver serves {gpus} GPUs, and has {served} device nodes: {words}", tier)
    wanted = driver.params.get("DeviceFileMode", "")
    mode = f"; the module's own mode is {int(wanted):04o}" if wanted.isdigit() else ""
    return check(name, PASSED, f"{words}{mode}", tier)


def toolkit(installed: Sequence[str], cuda: str, tier: int) -> Check:
    """Return whether programs of the installed compilers can run on this driver."""
    name = "driver.toolkit"
    if not installed:
        return check(name, SKIPPED, "no nvcc is installed", tier)
    if not cuda:
        return check(name, SKIPPED, f"nvcc {', '.join(installed)}; the CUDA version of the driver is not known", tier)
    newest, carried = numbers(installed[-1]), numbers(cuda)
    if newest[0] > carried[0]:
        fix = f"Install a newer driver, or a toolkit of CUDA {carried[0]}."
        return check(name, FAILED, f"nvcc {installed[-1]} is newer than the CUDA {cuda} of the driver. {fix}", tier)
    if newest > carried:
        reason = f"nvcc {installed[-1]} has a newer minor version than the CUDA {cuda} of the driver"
        return check(name, PASSED, f"{reason}: code for the card itself runs, PTX does not", tier)
    return check(name, PASSED, f"nvcc {', '.join(installed)}, and the driver carries CUDA {cuda}", tier)


def log(driver: Driver, tier: int) -> Check:
    """Return the XID errors since the start of the host, in words."""
    name = "driver.log"
    if driver.log_error:
        return check(name, NOT_SUPPORTED, f"the kernel's log cannot be read: {driver.log_error}", tier)
    seen: dict[int, int] = {}
    for number in re.findall(r"NVRM: Xid \([^)]*\): (\d+)", driver.log):
        seen[int(number)] = seen.get(int(number), 0) + 1
    words = [
        f"XID {number} ({XIDS.get(number, 'see the XID list of NVIDIA')}), {count} times"
        for number, count in seen.items()
    ]
    if set(seen) - OF_PROGRAMS:
        return check(name, FAILED, f"errors in the kernel's log: {'; '.join(words)}", tier)
    if words:
        return check(name, PASSED, f"only errors of programs in the kernel's log: {'; '.join(words)}", tier)
    return check(name, PASSED, "the kernel's log has no XID error", tier)
