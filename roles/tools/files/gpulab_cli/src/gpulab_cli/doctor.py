"""Subcommand `gpulab doctor`: why the GPU does not work, or is no faster than the processor."""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from gpulab_cli import paths
from gpulab_cli.paths import Environment

LEAST_DRIVERS = {12: "525.60.13", 13: "580"}
"""The least driver of a CUDA version (NVIDIA: CUDA compatibility)."""


@dataclass(frozen=True)
class Finding:
    """What is wrong, how it is known, and what to do."""

    name: str
    evidence: str
    fix: str


class Doctor:
    """The subcommand."""

    help = "say why the GPU does not work or is no faster; exit code 1 when something is found"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print it as JSON")
        parser.add_argument("--python", type=Path, help="look at this interpreter instead of the lab's environments")
        parser.add_argument("--quick", action="store_true", help="leave out what reads gigabytes")

    def run(self, options: argparse.Namespace) -> int:
        """Print the findings; give 1 where there are some."""
        chosen = [Environment(str(options.python), options.python.absolute())] if options.python else None
        found = look(chosen if chosen is not None else paths.environments(), quick=options.quick)
        if options.json:
            sys.stdout.write(json.dumps([asdict(finding) for finding in found], indent=1) + "\n")
        for finding in found if not options.json else []:
            sys.stdout.write(f"{finding.name}\n  seen: {finding.evidence}\n  do:   {finding.fix}\n")
        if not found and not options.json:
            gpus = ", ".join(paths.gpu_names()) or "there is no GPU: everything runs on the CPU"
            sys.stdout.write(f"Nothing is wrong that could be seen. GPUs: {gpus}\n")
        return 1 if found else 0


def look(environments: Iterable[Environment], quick: bool = False) -> list[Finding]:
    """Make all checks on this host."""
    gpus, bus, driver = len(paths.gpu_names()), paths.gpus_on_bus(), paths.driver_version()
    found = [*no_driver(bus, driver), *shadowing(os.environ.get("LD_LIBRARY_PATH", "")), *full()]
    for environment in environments:
        versions = environment.versions()
        found += cpu_only(environment, versions, max(gpus, bus)) + old_driver(environment, versions, driver)
        found += [] if quick else overwritten(environment)
    found += wrong_kernels(Path.home() / ".local/share/jupyter/kernels", paths.KERNELS)
    return found + starved(paths.cores())


def cpu_only(environment: Environment, versions: dict[str, str], gpus: int) -> list[Finding]:
    """Find builds without CUDA on a host with a GPU."""
    builds = [f"torch {versions['torch']}"] if versions.get("torch", "").endswith("+cpu") else []
    if "tensorflow-cpu" in versions and "tensorflow" not in versions:
        builds.append(f"tensorflow-cpu {versions['tensorflow-cpu']}")
    elif "tensorflow" in versions and not any(name.startswith("nvidia-cudnn") for name in versions):
        builds.append(f"tensorflow {versions['tensorflow']} without its CUDA libraries")
    if not gpus or not builds:
        return []
    return [
        Finding(
            "CPU-only build",
            f"the host has {gpus} GPUs, and {environment.name} holds {' and '.join(builds)}",
            "use a kernel whose name says GPU; docs/frameworks.md says which frameworks this GPU can have, and the "
            "administrator settings gpulab_frameworks_layout auto. "
            'In an environment of your own: pip install "tensorflow[and-cuda]", or torch from the default index.',
        )
    ]


def no_driver(on_bus: int, driver: str) -> list[Finding]:
    """Find a GPU that no driver serves."""
    if not on_bus or driver:
        return []
    evidence = f"{on_bus} NVIDIA GPUs are on the PCI bus, and no NVIDIA driver is loaded"
    return [
        Finding("no driver", evidence, "ask the administrator; `journalctl -k | grep -i -e nvidia -e NVRM` says why.")
    ]


def old_driver(environment: Environment, versions: dict[str, str], driver: str) -> list[Finding]:
    """Find CUDA libraries that the loaded driver is too old for."""
    cuda = max((int(found[1]) for name in versions if (found := re.match(r"nvidia-cudnn-cu(\d+)$", name))), default=0)
    least = LEAST_DRIVERS.get(cuda, "")
    if not least or not driver or _numbers(driver) >= _numbers(least):
        return []
    evidence = f"{environment.name} holds CUDA {cuda}, which wants driver {least} or newer; {driver} is loaded"
    fix = "the administrator upgrades the driver (gpulab_driver_branch), or settings gpulab_frameworks_layout auto."
    return [Finding("driver too old for CUDA", evidence, fix)]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def shadowing(variable: str) -> list[Finding]:
    """Find system libraries that stand before the ones that the frameworks bring."""
    patterns = ("libcudnn*.so*", "libcudart.so*", "libcublas.so*", "libnccl.so*")
    directories = [Path(directory) for directory in variable.split(":") if directory]
    seen = [
        str(file) for directory in directories for pattern in patterns for file in sorted(directory.glob(pattern))[:1]
    ]
    if not seen:
        return []
    evidence = f"LD_LIBRARY_PATH={variable} puts {seen[0]} before the libraries that TensorFlow and PyTorch bring"
    return [
        Finding("shadowed libraries", evidence, "unset LD_LIBRARY_PATH, also in ~/.bashrc, ~/.profile and ~/.Renviron.")
    ]


def overwritten(environment: Environment) -> list[Finding]:
    """Find CUDA libraries that another package overwrote: hashes compared with each wheel's RECORD."""
    packages = [each for each in environment.packages() if str(each.metadata["Name"]).lower().startswith("nvidia")]
    bad = [path for package in packages for path in damaged(package)]
    if not bad:
        return []
    evidence = f"{len(bad)} files in {environment.name} are not what their packages brought, for example {bad[0]}"
    fix = (
        "two packages with different CUDA are in one environment: make it again with one of them (docs/frameworks.md)."
    )
    return [Finding("overwritten libraries", evidence, fix)]


def damaged(package: Distribution) -> Iterable[str]:
    """Give the files of a package that are not what its RECORD says."""
    for path in package.files or ():
        if path.hash is not None and path.hash.mode == "sha256":
            place = Path(str(path.locate()))
            digest = hashlib.sha256(place.read_bytes()).digest() if place.is_file() else b""
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii") != path.hash.value:
                yield str(path)


Usage = Callable[[str], Any]
"""As shutil.disk_usage: total and free bytes of the file system that holds a path."""


def full(usage: Usage = shutil.disk_usage, home: Path | None = None) -> list[Finding]:
    """Find file systems that are full, or nearly: notebooks are not saved then, and data loaders die."""
    found = []
    fixes = {
        str(home or Path.home()): "delete or move files; `du -xh --max-depth=1 ~ | sort -h` shows the large ones.",
        "/tmp": "delete your files in /tmp.",  # noqa: S108
        "/dev/shm": "end what fills it (`ls -l /dev/shm`), or use num_workers=0: loaders hand batches over through it.",  # noqa: S108
    }
    for path, fix in fixes.items():
        if Path(path).exists() and (room := usage(path)).total and room.free / room.total < 0.05:
            evidence = f"{path} has {room.free / 1e6:.0f} MB free of {room.total / 1e9:.1f} GB"
            found.append(Finding("shared memory full" if path == "/dev/shm" else "disk full", evidence, fix))  # noqa: S108
    return found


def wrong_kernels(own: Path, shared: Path) -> list[Finding]:
    """Find kernels of the user's own that hide the lab's, or that start nothing."""
    found = []
    for directory in sorted(path.parent for path in own.glob("*/kernel.json")):
        command = paths.kernel_command(directory)
        program = command[0] if command else ""
        if not program or (program.startswith("/") and not Path(program).exists()):
            evidence = f"{directory}/kernel.json starts {program or 'nothing'}, which is not there"
            found.append(Finding("wrong kernel", evidence, f"rm -r {directory}, or install it again."))
        elif (shared / directory.name / "kernel.json").exists() and program != paths.kernel_command(
            shared / directory.name
        )[0]:
            evidence = f"your kernel {directory} hides the lab's of the same name, and starts {program}"
            found.append(Finding("wrong kernel", evidence, f"rename it: mv {directory} {directory}-mine"))
    return found


@dataclass(frozen=True)
class Load:
    """What a process on the GPU did for a moment: share of one core, child processes, use of the GPU in percent."""

    pid: int
    busiest_thread: float
    workers: int
    gpu: float


def is_starved(load: Load) -> bool:
    """Tell whether the GPU waits for one thread that prepares data: the thread is busy, and the GPU is not."""
    return load.busiest_thread > 0.8 and load.gpu < 50 and load.workers < 2


def starved(cores: int, seconds: float = 2.0) -> list[Finding]:
    """Find processes on the GPU whose one thread cannot prepare data fast enough."""
    workers = min(8, max(1, cores - 1))
    found = []
    for load in loads(seconds):
        if is_starved(load):
            evidence = (
                f"process {load.pid}: one thread is busy {load.busiest_thread:.0%} of the time, {load.workers} loader "
                f"processes run, and the GPU is used {load.gpu:.0f} %"
            )
            fix = (
                f"PyTorch: DataLoader(..., num_workers={workers}, pin_memory=True, persistent_workers=True); "
                f"TensorFlow: dataset.map(..., num_parallel_calls={workers}).prefetch(2). {cores} cores are yours."
            )
            found.append(Finding("starved data loader", evidence, fix))
    return found


def loads(seconds: float) -> list[Load]:
    """Watch this user's processes on the GPUs for a moment."""
    rows = _nvidia_smi("--query-compute-apps=pid,gpu_uuid")
    own = [(int(pid), uuid) for pid, uuid in rows if pid.isdigit() and _is_own(int(pid))]
    if not own:
        return []
    before = {pid: _busy(pid) for pid, _name in own}
    begun = time.monotonic()
    used: dict[str, list[float]] = {}
    rounds = 4
    for _round in range(rounds):
        time.sleep(seconds / rounds)
        for uuid, percent in _nvidia_smi("--query-gpu=uuid,utilization.gpu"):
            used.setdefault(uuid, []).append(float(percent) if percent.replace(".", "").isdigit() else 100.0)
    elapsed = time.monotonic() - begun
    found = []
    for pid, uuid in own:
        after = _busy(pid)
        share = max((after[thread] - before[pid].get(thread, 0) for thread in after), default=0) / elapsed
        percents = used.get(uuid, [100.0])
        found.append(Load(pid, share, _children(pid), sum(percents) / len(percents)))
    return found


def _nvidia_smi(query: str) -> list[list[str]]:
    program = shutil.which("nvidia-smi")
    if not program:
        return []
    argv = [program, query, "--format=csv,noheader,nounits"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return [[field.strip() for field in line.split(",")] for line in lines if line.count(",") == 1]


def _is_own(pid: int) -> bool:
    try:
        return os.geteuid() in (0, Path(f"/proc/{pid}").stat().st_uid)
    except OSError:
        return False


def _busy(pid: int) -> dict[str, float]:
    """Give the seconds that each thread of a process has run or waited for a core: what it wanted, not what it got.

    Linux: Documentation/scheduler/sched-stats, /proc/PID/schedstat (nanoseconds on a core, nanoseconds in the queue).
    """
    found = {}
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            fields = path.read_text(encoding="ascii").split()
        except OSError:  # the thread ended
            continue
        found[path.parent.name] = (int(fields[0]) + int(fields[1])) / 1e9
    return found


def _children(pid: int) -> int:
    """Count the child processes of a process."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            count += path.read_text(encoding="utf-8").rpartition(")")[2].split()[1] == str(pid)
        except OSError:  # it ended
            continue
    return count
