"""Subcommand `gpulab bench`: a small network on the processor and on the GPU, seconds for an epoch, the ratio."""

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
"""The packages that bring a framework."""

LEAST_RATIO = 2.0
"""Below, something is wrong: even the smallest card of the table is several times faster than a processor."""


@dataclass(frozen=True)
class Result:
    """What one framework did: seconds for an epoch on each device; no GPU, no number."""

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
        parser.add_argument("--json", action="store_true", help="print it as JSON")
        parser.add_argument("--images", type=int, default=4096, help="images in an epoch (default: 4096)")
        parser.add_argument(
            "--epochs", type=int, default=3, help="epochs; the first, in which all warms up, does not count"
        )
        choices = [*PACKAGES, "r"]
        parser.add_argument("--only", choices=choices, action="append", help="this framework alone; may be repeated")

    def run(self, options: argparse.Namespace) -> int:
        """Measure and print; 1 where a framework failed, or the GPU is hardly faster."""
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
            sys.stdout.write(closing(results, gpus))
        return 1 if not results or any(result.error or is_slow(result) for result in results) else 0


def programs(wanted: list[str], environments: list[Environment]) -> list[tuple[str, str, list[str]]]:
    """Give what is to be run: framework, environment, command."""
    found = []
    here = files("gpulab_cli")
    for environment in environments:
        versions = environment.versions()
        for framework, packages in PACKAGES.items():
            if framework in wanted and any(package in versions for package in packages):
                argv = [str(environment.python), str(here / f"bench_{framework}.py")]
                found.append((framework, environment.name, argv))
    if "r" in wanted and (rscript := shutil.which("Rscript")):
        found.append(("r", "R", [rscript, str(here / "bench_r.R")]))
    return found


def measure(framework: str, environment: str, argv: list[str], gpu: bool) -> Result:
    """Run a program on the processor, and on the GPU where there is one."""
    seconds: dict[str, float | None] = {"cpu": None, "gpu": None}
    for device in ("cpu", "gpu") if gpu else ("cpu",):
        variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
        if device == "cpu":
            variables["CUDA_VISIBLE_DEVICES"] = "-1"
        done = subprocess.run([*argv, device], env=variables, capture_output=True, text=True, check=False)
        last = done.stdout.strip().splitlines()[-1:] or [""]
        try:
            seconds[device] = float(json.loads(last[0])["seconds"])
        except (ValueError, KeyError, TypeError):
            words = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
            return Result(framework, environment, seconds["cpu"], None, f"on the {device}: {words}")
    return Result(framework, environment, seconds["cpu"], seconds["gpu"])


def is_slow(result: Result) -> bool:
    """Tell whether the GPU is hardly faster than the processor."""
    return result.ratio is not None and result.ratio < LEAST_RATIO


def line(result: Result) -> str:
    """Give the line of one framework."""
    name = f"{result.framework} ({result.environment})"
    if result.error:
        return f"{name:28} failed {result.error}\n"
    gpu = f"   GPU {result.gpu_seconds:8.3f} s   {result.ratio:6.1f} times faster" if result.gpu_seconds else ""
    return f"{name:28} CPU {result.cpu_seconds:8.3f} s{gpu}\n"


def closing(results: list[Result], gpus: list[str]) -> str:
    """Say what it means."""
    if not results:
        return "No framework is installed here.\n"
    said = (
        f"Seconds for an epoch. GPUs: {', '.join(gpus)}\n"
        if gpus
        else "Seconds for an epoch. There is no GPU on this host.\n"
    )
    slow = [result.framework for result in results if is_slow(result)]
    return said + (
        f"The GPU is hardly faster in {', '.join(slow)}: `gpulab doctor` looks for the reason.\n" if slow else ""
    )
