# SPDX-License-Identifier: GPL-3.0-or-later
"""Several processes on one GPU: throughput under time slicing, limits of memory, and memory by process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping

from . import nvml
from .context import Context
from .report import FAILED, NOT_SUPPORTED, PASSED, REAL, SKIPPED, Check, check, figure
from .running import StepError

PROCESSES = 4
LOAD_SECONDS = "5"
HELD_GIB = ("1", "2")
FRACTION = 0.125
"""Share of the GPU's memory that the limits allow."""
MIN_RATIO = 0.5
"""Four processes together reach at least this share of one alone; switching between them costs a few percent."""


def time_slicing(context: Context) -> list[Check]:
    """Return how much of one process's throughput several processes at once reach together."""
    name = "sharing.time_slicing"
    environment = context.with_framework("PyTorch", "torch")
    rates = {1: loads(context, environment.python, 1), PROCESSES: loads(context, environment.python, PROCESSES)}
    alone, together = sum(rates[1]), sum(rates[PROCESSES])
    figures = [figure("one process", alone, "products/s"), figure(f"{PROCESSES} processes", together, "products/s")]
    figures.append(figure("together to alone", together / alone, "ratio"))
    share = ", ".join(f"{rate / together:.0%}" for rate in rates[PROCESSES])
    words = f"{PROCESSES} processes at once reach {together / alone:.2f} of one alone; their shares are {share}"
    return [check(name, PASSED if together >= MIN_RATIO * alone else FAILED, words, REAL, figures)]


def loads(context: Context, python: str, count: int) -> list[float]:
    """Return the rates of so many processes that multiply at the same time."""
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(context.child(python, "load_torch.py", LOAD_SECONDS)) for _ in range(count)]
        for child in children:
            child.json(context.left(90))
        for child in children:
            child.send()
        return [float(child.json(context.left(60))["per_second"]) for child in children]


def processes(context: Context) -> list[Check]:
    """Return whether NVML names two processes that hold memory at once, each with its memory."""
    name = "sharing.process_memory"
    reason = context.without_gpu()
    if reason:
        return [check(name, SKIPPED, reason, context.tier)]
    if context.reading.reader != "NVML":
        return [check(name, NOT_SUPPORTED, f"NVML cannot be read: {context.reading.reader} was used", context.tier)]
    with contextlib.ExitStack() as stack:
        held = {}
        for gib in HELD_GIB:
            child = stack.enter_context(context.child(sys.executable, "cuda_devices.py", "hold", gib))
            answer = child.json(context.left(60))
            if answer.get("error"):
                raise StepError(f"a process could not hold {gib} GiB: {answer['error']}")
            held[child.pid] = float(gib)
        with nvml.Nvml() as library:
            listed: dict[int, int | None] = {}
            for gpu in context.reading.gpus:
                if not gpu.error:
                    listed.update(library.processes(gpu.index))
    return [memory_verdict(held, listed, context.tier)]


def memory_verdict(held: Mapping[int, float], listed: Mapping[int, int | None], tier: int) -> Check:
    """Return whether NVML lists each holder with at least what it holds (GiB; NVML: bytes)."""
    name = "sharing.process_memory"
    missing = [pid for pid in held if pid not in listed]
    if missing:
        words = f"{len(held)} processes hold memory, and NVML lists {len(held) - len(missing)} of them"
        return check(name, NOT_SUPPORTED, f"{words} (in a container, it has the process ids of the machine)", tier)
    if any(listed[pid] is None for pid in held):
        return check(name, NOT_SUPPORTED, "NVML lists the processes without their memory", tier)
    figures = [
        figure(f"process that holds {gib:.0f} GiB", (listed[pid] or 0) / 2**30, "GiB") for pid, gib in held.items()
    ]
    small = [pid for pid, gib in held.items() if (listed[pid] or 0) < gib * 2**30]
    if small:
        return check(name, FAILED, "NVML reports less memory than a process holds", tier, figures)
    return check(name, PASSED, f"NVML lists {len(held)} processes at once, each with its memory", tier, figures)


CAPS = {
    "torch": ("PyTorch", ("torch",), "PYTORCH_CUDA_ALLOC_CONF"),
    "jax": ("JAX", ("jax",), "XLA_PYTHON_CLIENT_MEM_FRACTION"),
    "tensorflow": ("TensorFlow", ("tensorflow",), "TF_PER_DEVICE_MEMORY_LIMIT_MB"),
}
"""Name, packages and environment variable of each framework's own limit of memory."""


def cap(key: str, context: Context) -> list[Check]:
    """Return whether a framework keeps the limit of memory in its environment variable."""
    title, packages, variable = CAPS[key]
    name = f"sharing.memory_limit.{key}"
    environment = context.with_framework(title, *packages)
    total = (context.reading.gpus[0].memory_bytes or 0) / 2**30
    if not total:
        return [check(name, SKIPPED, "the size of the GPU's memory is not known", context.tier)]
    limit = total * FRACTION
    value = {
        "torch": f"per_process_memory_fraction:{FRACTION}",
        "jax": str(FRACTION),
        "tensorflow": str(int(limit * 1024)),
    }[key]
    try:
        answer = context.run(
            environment.python, f"cap_{key}.py", f"{limit * 1.5 + 1:.2f}", limit=90, env={variable: value}
        )
    except StepError as error:
        if "nrecognized" in str(error):
            version = environment.version(*packages)
            return [
                check(
                    name, NOT_SUPPORTED, f"{title} {version} does not know the setting {variable}={value}", context.tier
                )
            ]
        raise
    return [cap_verdict(title, variable, answer, limit, context.tier)]


def cap_verdict(title: str, variable: str, answer: Mapping[str, float], limit: float, tier: int) -> Check:
    """Return whether a framework stopped at its limit; sizes in GiB."""
    name = f"sharing.memory_limit.{title.lower().replace('pytorch', 'torch')}"
    figures = [figure("limit", limit, "GiB"), figure("allocated", answer["got"], "GiB")]
    if not answer["stopped"] or answer["got"] > limit + 0.25:
        reason = f"{title} allocated {answer['got']:.1f} GiB in spite of {variable}, which allows {limit:.1f}"
        return check(name, FAILED, reason, tier, figures)
    if answer["got"] < limit / 2:
        reason = (
            f"{title} got {answer['got']:.1f} GiB of the {limit:.1f} GiB that {variable} allows: is the GPU in use?"
        )
        return check(name, FAILED, reason, tier, figures)
    return check(
        name, PASSED, f"{title} stops at {answer['got']:.1f} GiB; {variable} allows {limit:.1f}", tier, figures
    )
