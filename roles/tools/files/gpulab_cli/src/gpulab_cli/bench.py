# SPDX-License-Identifier: GPL-3.0-or-later
"""Subcommand `gpulab bench`: train a small network on the processor and on the GPU, and compare the times."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.resources import files

from gpulab_cli import paths
from gpulab_cli.paths import Environment

PACKAGES = {"torch": ("torch",), "tensorflow": ("tensorflow", "tensorflow-cpu")}
"""The packages that contain a framework."""

MIN_RATIO = 2.0
"""A smaller ratio shows a fault: even the slowest supported GPU is several times faster than a processor."""
SECONDS = 3600.0
"""Time limit of one program, in seconds."""


@dataclass(frozen=True)
class Result:
    """The result of one framework: seconds for an epoch on each device, None without a measurement."""

    framework: str
    environment: str
    cpu_seconds: float | None
    gpu_seconds: float | None
    error: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times faster the GPU is."""
        return self.cpu_seconds / self.gpu_seconds if self.cpu_seconds and self.gpu_seconds else None


class Bench:
    """The subcommand."""

    help = "measure a small network on the processor and on the GPU, in PyTorch, TensorFlow and R"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument("--images", type=int, default=4096, help="images in an epoch (default: 4096)")
        parser.add_argument(
            "--epochs", type=int, default=3, help="epochs (default: 3); the first is a warm-up and does not count"
        )
        choices = [*PACKAGES, "r"]
        parser.add_argument("--only", choices=choices, action="append", help="only this framework; can be repeated")

    def run(self, options: argparse.Namespace) -> int:
        """Measure and print; return 1 if a framework fails or the GPU is hardly faster."""
        gpus = paths.gpu_names()
        results = []
        for framework, environment, argv in programs(options.only or [*PACKAGES, "r"], paths.environments()):
            results.append(
                measure(framework, environment, [*argv, str(options.images), str(options.epochs)], bool(gpus))
            )
            if not options.json:
                sys.stdout.write(line(results[-1]))
                sys.stdout.flush()
        if options.json:
            rows = [{**asdict(result), "ratio": result.ratio} for result in results]
            sys.stdout.write(json.dumps({"gpus": gpus, "results": rows}, indent=1) + "\n")
        else:
            sys.stdout.write(summary(results, gpus))
        return 1 if not results or any(result.error or is_slow(result) for result in results) else 0


def programs(frameworks: list[str], environments: list[Environment]) -> list[tuple[str, str, list[str]]]:
    """Return the programs to run, each with framework, environment and command."""
    result = []
    package = files("gpulab_cli")
    for environment in environments:
        versions = environment.versions()
        for framework, names in PACKAGES.items():
            if framework in frameworks and any(name in versions for name in names):
                argv = [str(environment.python), str(package / f"bench_{framework}.py")]
                result.append((framework, environment.name, argv))
    if "r" in frameworks and (rscript := shutil.which("Rscript")):
        result.append(("r", "R", [rscript, str(package / "bench_r.R")]))
    return result


def measure(framework: str, environment: str, argv: list[str], gpu: bool) -> Result:
    """Run a program on the processor, and on the GPU if the host has one."""
    seconds: dict[str, float | None] = {"cpu": None, "gpu": None}
    for device in ("cpu", "gpu") if gpu else ("cpu",):
        variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
        if device == "cpu":
            variables["CUDA_VISIBLE_DEVICES"] = "-1"
        try:
            seconds[device] = run_program([*argv, device], variables)
        except MeasurementError as error:
            return Result(framework, environment, seconds["cpu"], None, f"on the {device}: {error}")
    return Result(framework, environment, seconds["cpu"], seconds["gpu"])


class MeasurementError(Exception):
    """A program failed; the message is its last line of output."""


def run_program(argv: list[str], variables: dict[str, str]) -> float:
    """Run a program and return the seconds that it prints; raise MeasurementError if it fails."""
    try:
        result = subprocess.run(argv, env=variables, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"it took longer than {SECONDS / 60:.0f} minutes and was stopped") from None
    last_line = (result.stdout.strip().splitlines() or [""])[-1]
    try:
        return float(json.loads(last_line)["seconds"])
    except (ValueError, KeyError, TypeError):
        raise MeasurementError((result.stderr.strip().splitlines() or ["it printed nothing"])[-1]) from None


def is_slow(result: Result) -> bool:
    """Return whether the GPU is hardly faster than the processor."""
    return result.ratio is not None and result.ratio < MIN_RATIO


def line(result: Result) -> str:
    """Return the line of one framework."""
    name = f"{result.framework} ({result.environment})"
    if result.error:
        return f"{name:28} failed {result.error}\n"
    gpu = f"   GPU {result.gpu_seconds:8.3f} s   {result.ratio:6.1f} times faster" if result.gpu_seconds else ""
    return f"{name:28} CPU {result.cpu_seconds:8.3f} s{gpu}\n"


def summary(results: list[Result], gpus: list[str]) -> str:
    """Return the last lines of the report."""
    if not results:
        return "No framework is installed on this host.\n"
    text = (
        f"Seconds for an epoch. GPUs: {', '.join(gpus)}\n" if gpus else "Seconds for an epoch. This host has no GPU.\n"
    )
    slow = [result.framework for result in results if is_slow(result)]
    if slow:
        text += f"The GPU is hardly faster in {', '.join(slow)}: run `gpulab doctor` to find the reason.\n"
    return text
