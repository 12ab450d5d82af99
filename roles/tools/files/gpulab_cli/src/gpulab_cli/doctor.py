# SPDX-License-Identifier: GPL-3.0-or-later
"""Subcommand `gpulab doctor`: find out why the GPU does not work or is not faster than the processor."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpulab_cli import layer_checks, layer_programs, layers, paths
from gpulab_cli.cuda import CUDA_DRIVERS
from gpulab_cli.paths import Environment
from gpulab_cli.wheel_records import damaged

SMI_SECONDS = 30.0
"""Time limit of nvidia-smi, in seconds: it hangs on a GPU that has failed."""


@dataclass(frozen=True)
class Finding:
    """A problem, the evidence for it, and the fix."""

    name: str
    evidence: str
    fix: str


class Doctor:
    """The subcommand."""

    help = "find out why the GPU does not work or is not faster; exit code 1 if there is a problem"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument("--python", type=Path, help="check this interpreter instead of the host's environments")
        parser.add_argument("--quick", action="store_true", help="skip checks that read gigabytes")

    def run(self, options: argparse.Namespace) -> int:
        """Print the findings; return 1 if there are some."""
        own = [Environment(str(options.python), options.python.absolute())] if options.python else None
        findings = examine(own if own is not None else paths.environments(), quick=options.quick)
        if options.json:
            sys.stdout.write(json.dumps([asdict(finding) for finding in findings], indent=1) + "\n")
        else:
            sys.stdout.write(as_text(findings, paths.gpu_names()))
        return 1 if findings else 0


def as_text(findings: list[Finding], gpus: list[str]) -> str:
    """Return the findings as lines for a terminal."""
    if not findings:
        return f"No problems. GPUs: {', '.join(gpus) or 'none, all programs run on the CPU'}\n"
    return "".join(
        f"{finding.name}\n  evidence: {finding.evidence}\n  fix:      {finding.fix}\n" for finding in findings
    )


def examine(environments: Iterable[Environment], quick: bool = False) -> list[Finding]:
    """Return the findings of all checks on this host."""
    gpus, bus, driver = len(paths.gpu_names()), paths.gpus_on_bus(), paths.driver_version()
    findings = [*no_driver(bus, driver), *shadowed_libraries(os.environ.get("LD_LIBRARY_PATH", "")), *full_disks()]
    for environment in environments:
        versions = environment.versions()
        findings += cpu_only(environment, versions, max(gpus, bus)) + old_driver(environment, versions, driver)
        findings += [] if quick else overwritten_libraries(environment)
        findings += own_packages(environment, quick) if environment.python.is_relative_to(paths.ENVIRONMENTS) else []
    findings += r_files(Path.home()) + r_libraries(Path.home() / "R")
    findings += wrong_kernels(Path.home() / ".local/share/jupyter/kernels", paths.KERNELS)
    return findings + starved_loaders(paths.cores())


def cpu_only(environment: Environment, versions: dict[str, str], gpus: int) -> list[Finding]:
    """Return a finding for builds without CUDA on a host with a GPU."""
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
            f"the host has {gpus} GPUs, and {environment.name} has {' and '.join(builds)}",
            "use a kernel with GPU in its name. The administrator can set gpulab_frameworks_layout to auto; "
            "docs/reference/frameworks.md lists the frameworks for each GPU. "
            'In your own environment: pip install "tensorflow[and-cuda]", or torch from the default index.',
        )
    ]


def no_driver(on_bus: int, driver: str) -> list[Finding]:
    """Return a finding for a GPU without a driver."""
    if not on_bus or driver:
        return []
    evidence = f"{on_bus} NVIDIA GPUs are on the PCI bus, and no NVIDIA driver is loaded"
    fix = "ask the administrator; `journalctl -k | grep -i -e nvidia -e NVRM` shows the reason."
    return [Finding("no driver", evidence, fix)]


def old_driver(environment: Environment, versions: dict[str, str], driver: str) -> list[Finding]:
    """Return a finding for CUDA libraries that need a newer driver."""
    cuda = max((int(match[1]) for name in versions if (match := re.match(r"nvidia-cudnn-cu(\d+)$", name))), default=0)
    required = CUDA_DRIVERS.get(cuda, "")
    if not required or not driver or _numbers(driver) >= _numbers(required):
        return []
    evidence = f"{environment.name} has CUDA {cuda}, which needs driver {required} or newer; {driver} is loaded"
    fix = "the administrator upgrades the driver (gpulab_driver_branch), or sets gpulab_frameworks_layout to auto."
    return [Finding("driver too old for CUDA", evidence, fix)]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def shadowed_libraries(variable: str) -> list[Finding]:
    """Return a finding for system libraries that are loaded instead of those of the frameworks."""
    patterns = ("libcudnn*.so*", "libcudart.so*", "libcublas.so*", "libnccl.so*")
    directories = [Path(directory) for directory in variable.split(":") if directory]
    libraries = [
        str(file) for directory in directories for pattern in patterns for file in sorted(directory.glob(pattern))[:1]
    ]
    if not libraries:
        return []
    evidence = f"LD_LIBRARY_PATH={variable} puts {libraries[0]} before the libraries of TensorFlow and PyTorch"
    fix = "unset LD_LIBRARY_PATH, also in ~/.bashrc, ~/.profile and ~/.Renviron."
    return [Finding("shadowed libraries", evidence, fix)]


def overwritten_libraries(environment: Environment) -> list[Finding]:
    """Return a finding for CUDA libraries that another package has overwritten (compared with each wheel's RECORD)."""
    packages = [each for each in environment.packages() if str(each.metadata["Name"]).lower().startswith("nvidia")]
    problems = damaged(packages)
    if not problems:
        return []
    evidence = (
        f"{len(problems)} files in {environment.name} differ from those of their packages, for example {problems[0]}"
    )
    fix = "two packages with different CUDA are in one environment: install one (docs/reference/frameworks.md)."
    return [Finding("overwritten libraries", evidence, fix)]


def own_packages(environment: Environment, quick: bool) -> list[Finding]:
    """Return findings for the user's own packages on top of an environment; importing them takes seconds."""
    name = environment.name
    layer = layers.layer_directory(name, layer_programs.lab_version(name))
    if reason := layer_checks.notice(name, layer):
        evidence, _separator, fix = reason.partition("; ")
        return [Finding("own packages", evidence, fix)]
    wrong = layer_checks.misfits(name, layer) if layer.is_dir() and not quick else {}
    fix = f"`gpulab env repair {name}` installs them again."
    evidence = "; ".join(f"{package}: {why}" for package, why in wrong.items())
    return [Finding("own packages", evidence, fix)] if wrong else []


R_SETTINGS = re.compile(
    r"^\s*(?:(?:RETICULATE_\w+|R_LIBS\w*|PYTHON\w+|LD_LIBRARY_PATH)\s*="
    r"|[^#]*\b(?:use_(?:python|virtualenv|condaenv|miniconda)\s*\(|RETICULATE_|R_LIBS|LD_LIBRARY_PATH|\.libPaths\s*\(\s*\S))"
)
"""Lines of ~/.Renviron and ~/.Rprofile that choose another Python or other libraries than the host's."""


def r_files(home: Path) -> list[Finding]:
    """Return findings for files of the user that choose another Python or other packages for R."""
    findings = []
    for path in (home / ".Renviron", home / ".Rprofile"):
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in filter(R_SETTINGS.match, lines):
            evidence = f"{path}: {line.strip()}"
            fix = "remove the line unless you need it: reticulate may find another Python or another NumPy by it."
            findings.append(Finding("R settings", evidence, fix))
    return findings


def r_libraries(directory: Path, base: Path = Path("/usr/lib/R/library/base/DESCRIPTION")) -> list[Finding]:
    """Return a finding for R packages of the user that were built with another R."""
    if not base.is_file() or not (version := description(base).get("Version", "")):
        return []
    minor = version.rpartition(".")[0]
    old = {
        path.parent.name: built[1]
        for path in directory.glob(f"*/{minor}/*/DESCRIPTION")
        if (built := re.match(r"R (\d+\.\d+)", description(path).get("Built", ""))) and built[1] != minor
    }
    if not old:
        return []
    evidence = (
        f"R {minor} is installed, and these packages of yours were built with R {', '.join(sorted(set(old.values())))}"
    )
    names = ", ".join(f'"{name}"' for name in sorted(old))
    return [Finding("R libraries", f"{evidence}: {', '.join(sorted(old))}", f"in R: install.packages(c({names}))")]


def description(path: Path) -> dict[str, str]:
    """Return the fields of a DESCRIPTION file of R that are on one line."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    return {
        name: value.strip()
        for line in lines
        if not line.startswith(" ")
        for name, _colon, value in [line.partition(":")]
    }


Usage = Callable[[str], Any]
"""A function like shutil.disk_usage: total and free bytes of the file system of a path."""


def full_disks(usage: Usage = shutil.disk_usage, home: Path | None = None) -> list[Finding]:
    """Return findings for file systems with less than 5 % free: notebooks are not saved then, and data loaders fail."""
    findings = []
    fixes = {
        str(home or Path.home()): "delete or move files; `du -xh --max-depth=1 ~ | sort -h` shows the large ones.",
        "/tmp": "delete your files in /tmp.",  # noqa: S108
        "/dev/shm": "stop the programs whose files `ls -l /dev/shm` lists, or use num_workers=0 in data loaders.",  # noqa: S108
    }
    for path, fix in fixes.items():
        if Path(path).exists() and (space := usage(path)).total and space.free / space.total < 0.05:
            evidence = f"{path} has {space.free / 1e6:.0f} MB free of {space.total / 1e9:.1f} GB"
            findings.append(Finding("shared memory full" if path == "/dev/shm" else "disk full", evidence, fix))  # noqa: S108
    return findings


def wrong_kernels(own: Path, shared: Path) -> list[Finding]:
    """Return findings for the user's own kernels that hide the host's, or whose program does not exist."""
    findings = []
    for directory in sorted(path.parent for path in own.glob("*/kernel.json")):
        command = paths.kernel_command(directory)
        program = command[0] if command else ""
        shared_kernel = shared / directory.name
        if not program or (program.startswith("/") and not Path(program).exists()):
            evidence = f"{directory}/kernel.json starts {program or 'nothing'}, which does not exist"
            findings.append(Finding("wrong kernel", evidence, f"rm -r {directory}, or install it again."))
        elif (shared_kernel / "kernel.json").exists() and program != paths.kernel_command(shared_kernel)[0]:
            evidence = f"your kernel {directory} hides the host's kernel of the same name, and starts {program}"
            findings.append(Finding("wrong kernel", evidence, f"rename it: mv {directory} {directory}-mine"))
    return findings


@dataclass(frozen=True)
class Load:
    """The load of a process on a GPU: share of one core, number of child processes, use of the GPU in percent."""

    pid: int
    busiest_thread: float
    workers: int
    gpu: float


def is_starved(load: Load) -> bool:
    """Return whether the GPU waits for one thread that prepares data: the thread is busy, and the GPU is not."""
    return load.busiest_thread > 0.8 and load.gpu < 50 and load.workers < 2


def starved_loaders(cores: int, seconds: float = 2.0) -> list[Finding]:
    """Return findings for processes on the GPU whose single thread prepares data too slowly."""
    workers = min(8, max(1, cores - 1))
    findings = []
    for load in loads(seconds):
        if is_starved(load):
            evidence = (
                f"process {load.pid}: one thread is busy {load.busiest_thread:.0%} of the time, {load.workers} loader "
                f"processes run, and the GPU is used {load.gpu:.0f} %"
            )
            fix = (
                f"PyTorch: DataLoader(..., num_workers={workers}, pin_memory=True, persistent_workers=True); "
                f"TensorFlow: dataset.map(..., num_parallel_calls={workers}).prefetch(2). You can use {cores} cores."
            )
            findings.append(Finding("starved data loader", evidence, fix))
    return findings


def loads(seconds: float) -> list[Load]:
    """Return the load of this user's processes on the GPUs, measured for some seconds."""
    rows = _nvidia_smi("--query-compute-apps=pid,gpu_uuid")
    own = [(int(pid), uuid) for pid, uuid in rows if pid.isdigit() and _is_own(int(pid))]
    if not own:
        return []
    before = {pid: _busy_seconds(pid) for pid, _uuid in own}
    start = time.monotonic()
    used: dict[str, list[float]] = {}
    rounds = 4
    for _round in range(rounds):
        time.sleep(seconds / rounds)
        for uuid, percent in _nvidia_smi("--query-gpu=uuid,utilization.gpu"):
            used.setdefault(uuid, []).append(float(percent) if percent.replace(".", "").isdigit() else 100.0)
    elapsed = time.monotonic() - start
    result = []
    for pid, uuid in own:
        after = _busy_seconds(pid)
        share = max((after[thread] - before[pid].get(thread, 0) for thread in after), default=0) / elapsed
        percents = used.get(uuid, [100.0])
        result.append(Load(pid, share, _child_count(pid), sum(percents) / len(percents)))
    return result


def _nvidia_smi(query: str) -> list[list[str]]:
    """Return the rows of a query with two columns, empty if nvidia-smi does not exist, fails or hangs."""
    program = shutil.which("nvidia-smi")
    if not program:
        return []
    argv = [program, query, "--format=csv,noheader,nounits"]
    try:
        result = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=SMI_SECONDS)
    except subprocess.TimeoutExpired:
        return []
    lines = result.stdout.splitlines() if result.returncode == 0 else []
    return [[field.strip() for field in line.split(",")] for line in lines if line.count(",") == 1]


def _is_own(pid: int) -> bool:
    try:
        return os.geteuid() in (0, Path(f"/proc/{pid}").stat().st_uid)
    except OSError:
        return False


def _busy_seconds(pid: int) -> dict[str, float]:
    """Return the seconds for which each thread of a process has run or waited for a core.

    Linux: Documentation/scheduler/sched-stats, /proc/PID/schedstat (nanoseconds on a core, nanoseconds in the queue).
    """
    result = {}
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            fields = path.read_text(encoding="ascii").split()
        except OSError:  # the thread has ended
            continue
        result[path.parent.name] = (int(fields[0]) + int(fields[1])) / 1e9
    return result


def _child_count(pid: int) -> int:
    """Return the number of child processes of a process."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            count += path.read_text(encoding="utf-8").rpartition(")")[2].split()[1] == str(pid)
        except OSError:  # the process has ended
            continue
    return count
