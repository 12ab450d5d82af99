# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts about the hardware, each in words, from what a reader of the GPUs returned."""

from __future__ import annotations

from collections.abc import Sequence

from .gpus import SLOWDOWN, Gpu, Reading
from .report import FAILED, NOT_SUPPORTED, PASSED, SKIPPED, Check, check, figure

NAMES = (
    "hardware.gpus",
    "hardware.count",
    "hardware.mig",
    "hardware.pcie",
    "hardware.ecc",
    "hardware.throttle",
    "hardware.nvlink",
    "hardware.topology",
)
"""The checks, for a host where nothing can be read."""


def checks(reading: Reading, tier: int, without: str = "", expected: int = 0) -> list[Check]:
    """Return all checks of the hardware; with the reason `without`, all of them are skipped.

    `expected` is the number of GPUs that the host's facts have, 0 where it is not known.
    """
    if without:
        return [check(name, SKIPPED, without, tier) for name in NAMES]
    if reading.error or not reading.gpus:
        reason = reading.error or f"{reading.reader} lists no GPU"
        return [check(NAMES[0], FAILED, reason, tier), counted([], expected, tier)] + [
            check(name, SKIPPED, "the GPUs could not be read", tier) for name in NAMES[2:]
        ]
    working = [gpu for gpu in reading.gpus if not gpu.error]
    parts = [listed(reading, tier), counted(working, expected, tier)]
    if not working:
        return parts + [check(name, SKIPPED, "no GPU answers", tier) for name in NAMES[2:]]
    parts += [partitions(working, tier), pcie(working, tier), ecc(working, tier), throttle(working, tier)]
    return [*parts, nvlink(working, tier), topology(reading, tier)]


def named(gpu: Gpu) -> str:
    """Return how the report names a GPU."""
    return f"GPU {gpu.index}"


def listed(reading: Reading, tier: int) -> Check:
    """Return whether every GPU answers, with model, memory and compute capability."""
    lost = [f"{named(gpu)}: {gpu.error}" for gpu in reading.gpus if gpu.error]
    figures = [
        figure(f"memory of {named(gpu)}", gpu.memory_bytes / 2**30, "GiB") for gpu in reading.gpus if gpu.memory_bytes
    ]
    words = [
        f"{named(gpu)}: {gpu.name}, compute capability {gpu.compute_capability or 'not known'}, at {gpu.bus_id}"
        for gpu in reading.gpus
        if not gpu.error
    ]
    text = "; ".join([*lost, *words])
    return check(NAMES[0], FAILED if lost else PASSED, f"read by {reading.reader}: {text}", tier, figures)


def counted(working: Sequence[Gpu], expected: int, tier: int) -> Check:
    """Return whether all GPUs of the host's facts answer; more may, such as models that the facts do not know."""
    name = "hardware.count"
    if not expected:
        return check(name, SKIPPED, "no number of GPUs was given (--expect)", tier)
    if len(working) < expected:
        fix = "A GPU did not start, or the driver does not support it: read the kernel's log."
        return check(name, FAILED, f"{len(working)} of {expected} GPUs on the PCI bus answer. {fix}", tier)
    return check(name, PASSED, f"{len(working)} GPUs answer, and the host's facts have {expected}", tier)


def partitions(gpus: Sequence[Gpu], tier: int) -> Check:
    """Return which GPUs are partitioned with MIG."""
    if all(gpu.mig is None for gpu in gpus):
        return check("hardware.mig", NOT_SUPPORTED, "these cards cannot be partitioned with MIG", tier)
    on = [named(gpu) for gpu in gpus if gpu.mig]
    return check("hardware.mig", PASSED, f"MIG is on for {', '.join(on)}" if on else "MIG is off", tier)


def pcie(gpus: Sequence[Gpu], tier: int) -> Check:
    """Return whether each GPU uses all PCIe lanes that it and its slot have.

    An idle card lowers the generation to save power, so that only the width is a fault; the generation under load is
    part of the check of the speed.
    """
    known = [gpu for gpu in gpus if gpu.pcie_width and gpu.pcie_width_max]
    if not known:
        return check("hardware.pcie", NOT_SUPPORTED, "the width of the PCIe link is not known (a virtual GPU)", tier)
    narrow = [
        f"{named(gpu)} uses {gpu.pcie_width} of {gpu.pcie_width_max} PCIe lanes"
        for gpu in known
        if (gpu.pcie_width or 0) < (gpu.pcie_width_max or 0)
    ]
    figures = [figure(f"PCIe width of {named(gpu)}", gpu.pcie_width or 0, "lanes", gpu.pcie_width_max) for gpu in known]
    figures += [
        figure(f"PCIe generation of {named(gpu)} now", gpu.pcie_generation, "generation", gpu.pcie_generation_max)
        for gpu in known
        if gpu.pcie_generation
    ]
    if narrow:
        fix = "Copies between host and GPU are slower by this factor: check the slot, the riser and the firmware."
        return check("hardware.pcie", FAILED, f"{'; '.join(narrow)}. {fix}", tier, figures)
    widths = ", ".join(f"{named(gpu)} {gpu.pcie_width} lanes" for gpu in known)
    return check("hardware.pcie", PASSED, f"all lanes are in use: {widths}", tier, figures)


def ecc(gpus: Sequence[Gpu], tier: int) -> Check:
    """Return whether the memory is without uncorrected errors and rows that could not be remapped."""
    problems = []
    for gpu in gpus:
        if gpu.ecc_uncorrected:
            problems.append(
                f"{named(gpu)} has {gpu.ecc_uncorrected} uncorrected memory errors since the driver was loaded"
            )
        if gpu.remap_failed:
            problems.append(f"{named(gpu)} has rows of memory that could not be remapped: the card must be replaced")
        elif gpu.remap_pending:
            problems.append(f"{named(gpu)} has rows of memory that the next reset remaps: restart the host")
    if problems:
        return check("hardware.ecc", FAILED, "; ".join(problems), tier)
    if all(gpu.ecc is None for gpu in gpus):
        return check("hardware.ecc", NOT_SUPPORTED, "these cards have no error-correcting memory", tier)
    off = [named(gpu) for gpu in gpus if gpu.ecc is False]
    words = f"ECC is off for {', '.join(off)}" if off else "ECC is on"
    return check("hardware.ecc", PASSED, f"{words}; no uncorrected errors", tier)


def throttle(gpus: Sequence[Gpu], tier: int) -> Check:
    """Return whether cooling or power holds a GPU down at this moment."""
    known = [gpu for gpu in gpus if gpu.throttle is not None]
    if not known:
        return check("hardware.throttle", NOT_SUPPORTED, "the reasons that hold clocks down are not known", tier)
    figures = [
        figure(f"temperature of {named(gpu)}", gpu.temperature, "degrees Celsius")
        for gpu in gpus
        if gpu.temperature is not None
    ]
    slow = [
        f"{named(gpu)} is slowed down: {', '.join(reason for reason in gpu.throttle or [] if reason in SLOWDOWN)}"
        for gpu in known
        if SLOWDOWN & set(gpu.throttle or [])
    ]
    if slow:
        return check("hardware.throttle", FAILED, f"{'; '.join(slow)}. Check cooling and power.", tier, figures)
    words = "; ".join(
        f"{named(gpu)}: {', '.join(gpu.throttle or []) or 'nothing holds its clocks down'}" for gpu in known
    )
    return check("hardware.throttle", PASSED, f"before the load, {words}", tier, figures)


def nvlink(gpus: Sequence[Gpu], tier: int) -> Check:
    """Return whether all NVLinks of each GPU are active; one GPU alone may have none connected."""
    linked = [gpu for gpu in gpus if gpu.nvlinks]
    if not linked:
        return check("hardware.nvlink", NOT_SUPPORTED, "these cards have no NVLink", tier)
    words = ", ".join(f"{named(gpu)} {gpu.nvlinks_active} of {gpu.nvlinks}" for gpu in linked)
    if all(gpu.nvlinks_active == gpu.nvlinks for gpu in linked):
        return check("hardware.nvlink", PASSED, f"active NVLinks: {words}", tier)
    if len(gpus) == 1:
        return check("hardware.nvlink", PASSED, f"active NVLinks: {words} (with one GPU none has to be)", tier)
    fix = "Read the kernel's log, and the log of the fabric manager where there are NVSwitches."
    return check("hardware.nvlink", FAILED, f"inactive NVLinks: {words}. {fix}", tier)


def topology(reading: Reading, tier: int) -> Check:
    """Return what lies between the GPUs, and which cannot read each other's memory."""
    if len(reading.gpus) < 2:
        return check("hardware.topology", SKIPPED, "the host has one GPU", tier)
    if not reading.pairs:
        return check("hardware.topology", NOT_SUPPORTED, f"{reading.reader} does not read what lies between GPUs", tier)
    words = []
    for pair in reading.pairs:
        peer = {True: "peer access", False: f"no peer access ({pair.reason})", None: "peer access not known"}[pair.peer]
        words.append(f"GPU {pair.first} and {pair.second}: {pair.between}, {peer}")
    return check("hardware.topology", PASSED, "; ".join(words), tier)
