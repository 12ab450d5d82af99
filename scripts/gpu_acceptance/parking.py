# SPDX-License-Identifier: GPL-3.0-or-later
"""Park a process: its GPU memory moves to the host's memory, another process uses the GPU, and the first goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from . import nvml
from .context import Context
from .report import FAILED, NOT_SUPPORTED, PASSED, REAL, SKIPPED, Check, check, figure
from .running import Child, StepError, UnsupportedError, User

SECONDS = 120.0
NAME = "sharing.park"
FRAMEWORKS = {"torch": "PyTorch", "jax": "JAX"}
FRAMEWORK_GIB = 2.0


def free_memory_gib(text: str) -> float:
    """Return the available memory of the host in GiB, from the text of /proc/meminfo; 0 when it is not there."""
    for line in text.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 2**20
    return 0.0


def park(context: Context) -> list[Check]:
    """Return whether a process that uses the driver's own interface can be parked."""
    return [attempt(context, NAME, sys.executable, ["cuda_devices.py", "hold"], context.park_gib)]


def park_framework(key: str, context: Context) -> list[Check]:
    """Return whether a process of a framework, which has libraries of its own on the GPU, can be parked."""
    python = context.with_framework(FRAMEWORKS[key], key).python
    return [attempt(context, f"{NAME}.{key}", python, [f"hold_{key}.py"], min(FRAMEWORK_GIB, context.park_gib))]


def attempt(context: Context, name: str, python: str, holder: Sequence[str], requested: float) -> Check:
    """Start the process that holds memory (GiB), park it, and return the verdict."""
    reason = context.without_gpu()
    if reason:
        return check(name, SKIPPED, reason, context.tier)
    total = (context.reading.gpus[0].memory_bytes or 0) / 2**30
    size = min(requested, total * 0.75)
    free = free_memory_gib((context.root / "proc/meminfo").read_text(encoding="utf-8"))
    if free < size + 2:
        reason = f"the host has {free:.1f} GiB of free memory, and parking {size:.0f} GiB needs {size + 2:.0f}"
        return check(name, SKIPPED, reason, context.tier)
    with context.child(python, *holder, f"{size:.2f}") as child:
        answer = child.json(context.left(SECONDS))
        if answer.get("error") or not answer.get("intact"):
            raise StepError(f"a process could not hold {size:.1f} GiB: {answer.get('error', 'wrong content')}")
        return parked(context, name, child, size)


def parked(context: Context, name: str, holder: Child, size: float) -> Check:
    """Park the process that holds memory, let another compute, restore it, and return the verdict."""
    before = used_gib()
    try:
        seconds = {"lock": act(context, "lock", holder.pid), "checkpoint": act(context, "checkpoint", holder.pid)}
    except UnsupportedError as error:
        return check(name, NOT_SUPPORTED, f"not supported here: {error}", context.tier)
    meanwhile = used_gib()
    other = context.run(sys.executable, "cuda_devices.py", limit=60)
    for action in ("restore", "unlock"):
        seconds[action] = act(context, action, holder.pid)
    holder.send()
    after = holder.json(context.left(60))
    figures = [
        figure("parked", size, "GiB"),
        figure("parking", (seconds["lock"] + seconds["checkpoint"]) / size, "s/GiB"),
        figure("restoring", (seconds["restore"] + seconds["unlock"]) / size, "s/GiB"),
        figure("GPU memory in use before", before, "GiB"),
        figure("GPU memory in use while parked", meanwhile, "GiB"),
    ]
    if other.get("error"):
        return check(name, FAILED, f"another process could not use the GPU meanwhile: {other['error']}", REAL, figures)
    if not after.get("intact"):
        return check(name, FAILED, "the restored process does not have its data", REAL, figures)
    if before - meanwhile < size * 0.9:
        return check(name, FAILED, "the parked process did not give up its GPU memory", REAL, figures)
    reason = f"a process with {size:.0f} GiB was parked, another one used the GPU, and the first went on with its data"
    return check(name, PASSED, reason, REAL, figures)


def act(context: Context, action: str, pid: int) -> float:
    """Do one part of parking and return its seconds."""
    # As root where this is root: a service that parks users' processes is, too.
    own = User(0, 0) if os.geteuid() == 0 else None
    answer: dict[str, Any] = context.run(sys.executable, "park.py", action, str(pid), limit=SECONDS, user=own)
    if "unsupported" in answer:
        raise UnsupportedError(str(answer["unsupported"]))
    if "error" in answer:
        raise StepError(f"{action} of a process failed by {answer['by']}: {answer['error']}")
    return float(answer["seconds"])


def used_gib() -> float:
    """Return how much memory of the first GPU is in use, in GiB; raise UnsupportedError where NVML cannot be read."""
    try:
        with nvml.Nvml() as library:
            return library.used_gib(0)
    except nvml.NvmlError as error:
        raise UnsupportedError(f"the memory in use cannot be read: {error}") from error
