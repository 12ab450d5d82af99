# SPDX-License-Identifier: GPL-3.0-or-later
"""Computing: through the driver alone, and with each framework of each environment, from Python and from R."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import running
from .context import Context, Environment
from .driver import numbers
from .report import FAILED, PASSED, REAL, SKIPPED, Check, Figure, check, figure
from .running import StepError

SECONDS = 120.0
FRAMEWORKS = {
    "torch": ("PyTorch", ("torch",)),
    "jax": ("JAX", ("jax",)),
    "tensorflow": ("TensorFlow", ("tensorflow", "tensorflow-cpu")),
}
"""Name and packages of each framework; compute_NAME.py is its program."""
TOLERANCE = 1e-4
"""Largest accepted difference from the CPU relative to the largest value; single precision gives about 1e-6."""


def environments(pythons: Sequence[str], directory: Path) -> list[Environment]:
    """Return the environments to check: the named interpreters, the lab's, and the one that runs this program."""
    paths = [*pythons, *(str(path) for path in sorted(directory.glob("*/current/bin/python")))]
    result, seen = [], set()
    for python in [*paths, sys.executable]:
        prefix = Path(python).absolute().parents[1].name
        if python not in seen:
            seen.add(python)
            lab = Path(python).is_relative_to(directory) and Path(python).parents[2].name
            result.append(packages(lab or {"usr": "system"}.get(prefix, prefix), python))
    return result


def packages(name: str, python: str) -> Environment:
    """Return an environment with its packages, without them when its interpreter does not run."""
    try:
        answer = running.result(running.run(running.program(python, "versions.py"), 60))
    except StepError as error:
        return Environment(name, python, {}, {"": str(error)})
    return Environment(name, python, answer["installed"], answer["locked"])


def lock(environment: Environment, context: Context) -> list[Check]:
    """Return whether an environment holds the versions of its lock."""
    return [lock_verdict(environment, context.tier)]


def lock_verdict(environment: Environment, tier: int) -> Check:
    """Return the verdict about the versions of an environment."""
    name = f"versions.{environment.name}"
    if "" in environment.locked:
        return check(name, FAILED, f"{environment.python} does not run: {environment.locked['']}", tier)
    if not environment.locked:
        return check(name, SKIPPED, "the environment was not made from a lock of the lab", tier)
    different = [
        f"{package} is {environment.installed.get(package, 'missing')}, and the lock has {version}"
        for package, version in environment.locked.items()
        if environment.installed.get(package) != version
    ]
    if different:
        return check(name, FAILED, "; ".join(different[:5]) + (" ..." if different[5:] else ""), tier)
    return check(name, PASSED, f"all {len(environment.locked)} packages have the versions of the lock", tier)


def through_driver(context: Context) -> list[Check]:
    """Return whether every GPU holds data, by the driver's own interface, and as many as NVML lists."""
    name = "compute.driver"
    reason = context.without_gpu()
    if reason:
        return [check(name, SKIPPED, reason, context.tier)]
    answer = context.run(sys.executable, "cuda_devices.py", limit=60)
    if answer.get("error"):
        return [check(name, FAILED, f"the driver computes nothing: {answer['error']}", context.tier)]
    expected = context.working
    if answer["count"] != expected and not context.mig:
        reason = f"CUDA opens {answer['count']} GPUs, and {expected} answer to {context.reading.reader}"
        return [check(name, FAILED, reason, context.tier)]
    broken = [each["name"] for each in answer["devices"] if not each["intact"]]
    if broken:
        return [check(name, FAILED, f"memory does not keep its content: {', '.join(broken)}", context.tier)]
    names = ", ".join(each["name"] for each in answer["devices"])
    return [check(name, PASSED, f"memory of every GPU was written and read back: {names}", context.tier)]


def frameworks(context: Context) -> list[tuple[str, Environment, str]]:
    """Return the frameworks to check: key, environment, and the check's name."""
    found = [
        (key, environment)
        for environment in context.environments
        for key, (_title, names) in FRAMEWORKS.items()
        if environment.version(*names)
    ]
    several = {key for key, _ in found if sum(other == key for other, _ in found) > 1}
    return [(key, each, f"compute.{key}{f'@{each.name}' if key in several else ''}") for key, each in found]


def framework(key: str, environment: Environment, name: str, context: Context) -> list[Check]:
    """Return whether a framework computes on every GPU as on the CPU: one check for the CPU, one for the GPUs."""
    title = FRAMEWORKS[key][0]
    # Without a GPU, or with a mock, it must not try one.
    hidden = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"} if context.without_gpu() else {}
    broken = (FRAMEWORKS[key][1][0], environment.name)
    context.broken[broken] = name
    answer = context.run(environment.python, f"compute_{key}.py", limit=SECONDS, env=hidden)
    gpus = on_gpus(title, answer, name, context)
    if gpus["status"] == PASSED:
        del context.broken[broken]
    return [on_cpu(title, answer, name), gpus]


def on_cpu(title: str, answer: Mapping[str, Any], name: str) -> Check:
    """Return whether a framework computes correctly on the CPU; this needs no GPU."""
    wrong = differences(answer["cpu"])
    if wrong:
        return check(f"{name}.cpu", FAILED, f"{title} {answer['version']} on the CPU: {wrong}", 0)
    return check(f"{name}.cpu", PASSED, f"{title} {answer['version']} computes on the CPU", 0, accuracy(answer["cpu"]))


def differences(values: Mapping[str, Any]) -> str:
    """Return which results are wrong, in words; empty when none is."""
    wrong = [
        f"{key} is off by {values[key]:.1e}" for key in ("matmul", "convolution") if not _close(values.get(key, 0))
    ]
    return " and ".join(wrong)


def _close(value: float) -> bool:
    """Return whether a difference is small; not so for a value that is not a number."""
    return value <= TOLERANCE


def accuracy(values: Mapping[str, Any], where: str = "") -> list[Figure]:
    """Return the differences as figures, in millionths."""
    return [
        figure(f"difference of {key}{where}", values[key] * 1e6, "millionths of the largest value")
        for key in ("matmul", "convolution")
        if key in values
    ]


def on_gpus(title: str, answer: Mapping[str, Any], name: str, context: Context) -> Check:
    """Return whether a framework sees all GPUs, allocates on them, and computes what the CPU computes."""
    reason = context.without_gpu()
    if reason:
        return check(f"{name}.gpu", SKIPPED, f"{reason}; {title} was checked on the CPU only", context.tier)
    problem = mismatch(title, answer, context.reading.cuda, 1 if context.mig else context.working)
    figures = [
        each for number, device in enumerate(answer["devices"]) for each in accuracy(device, f" on GPU {number}")
    ]
    if problem:
        return check(f"{name}.gpu", FAILED, problem, context.tier, figures)
    names = ", ".join(device["name"] for device in answer["devices"])
    cudnn = f", cuDNN {answer['cudnn']}" if answer.get("cudnn") else ""
    reason = f"{title} {answer['version']} (CUDA {answer['cuda'] or 'not named'}{cudnn}) computes on {names}"
    return check(f"{name}.gpu", PASSED, reason, REAL, figures)


def mismatch(title: str, answer: Mapping[str, Any], driver_cuda: str, expected: int) -> str:
    """Return why a framework does not use the GPUs as it must, empty when it does."""
    if answer["cuda"] is None:
        fix = "Install its CUDA build (docs/reference/frameworks.md)."
        return f"{title} {answer['version']} is a CPU build: it never uses a GPU. {fix}"
    built, carried = numbers(answer["cuda"])[:1], numbers(driver_cuda)[:1]
    if built and carried and built > carried:
        fix = f"Install a newer driver, or a build for CUDA {carried[0]}."
        return (
            f"{title} {answer['version']} is built for CUDA {answer['cuda']}; the driver carries {driver_cuda}. {fix}"
        )
    if answer.get("error"):
        return f"{title} {answer['version']} failed on the GPU: {answer['error']}"
    if answer["count"] != expected:
        return f"{title} {answer['version']} sees {answer['count']} GPUs of {expected}"
    wrong = [
        f"on GPU {number}: {differences(device) or 'memory does not keep its content'}"
        for number, device in enumerate(answer["devices"])
        if differences(device) or not device["allocated"]
    ]
    return f"{title} {answer['version']} {'; '.join(wrong)}" if wrong else ""


def from_r(context: Context) -> list[Check]:
    """Return whether TensorFlow computes from R, through reticulate."""
    name = "compute.r"
    rscript = shutil.which("Rscript")
    if not rscript:
        return [check(name, SKIPPED, "R is not installed", context.tier)]
    hidden = {"CUDA_VISIBLE_DEVICES": "-1"} if context.without_gpu() else {}
    values = running.clean_environment(context.home(context.user), hidden)
    done = running.run(
        [rscript, "--no-save", "--no-restore", context.program("compute_r.R")],
        context.left(SECONDS),
        values,
        context.user,
    )
    if done.returncode and ("reticulate" in done.stderr or "tensorflow" in done.stderr):
        return [check(name, SKIPPED, f"R has no TensorFlow: {running.last_line(done.stderr)}", context.tier)]
    answer = running.result(done)
    title = f"R {answer['r']} with TensorFlow"
    return [on_cpu(title, answer, name), on_gpus(title, answer, name, context)]
