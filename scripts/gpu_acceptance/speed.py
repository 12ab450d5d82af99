# SPDX-License-Identifier: GPL-3.0-or-later
"""Speed next to the card's published figures, and an epoch on the CPU and the GPU."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import nvml, running
from .context import Context
from .gpus import SLOWDOWN, Gpu
from .report import FAILED, PASSED, REAL, Check, check, figure

CARDS = Path(__file__).resolve().parent / "cards.json"
SECONDS = "2"
"""Seconds of each measurement."""
MIN_RATIO = 0.25
"""Below this share of the published figure something is wrong with the card, its power or its cooling."""
MIN_EPOCH = 2.0
"""An epoch on a GPU that is not twice as fast as on the CPU shows a fault, as in `gpulab bench`."""
IMAGES = "4096"
TITLES = {
    "bf16": ("matrix product in bf16", "TFLOP/s"),
    "fp16": ("matrix product in fp16", "TFLOP/s"),
    "fp32": ("matrix product in fp32", "TFLOP/s"),
    "bandwidth": ("memory bandwidth", "GB/s"),
    "to_device": ("copy from host to GPU", "GB/s"),
}


@dataclass
class Load:
    """What was seen while a GPU was busy."""

    generation: int = 0
    generation_max: int = 0
    temperature: int = 0
    reasons: set[str] = field(default_factory=set)

    def add(self, gpu: Gpu) -> None:
        """Add a reading."""
        self.generation = max(self.generation, gpu.pcie_generation or 0)
        self.generation_max = max(self.generation_max, gpu.pcie_generation_max or 0)
        self.temperature = max(self.temperature, gpu.temperature or 0)
        self.reasons |= set(gpu.throttle or []) - {"idle"}


def published(name: str, path: Path = CARDS) -> Mapping[str, Any] | None:
    """Return the vendor's figures of a card by its name in NVML, None for a card that the table lacks."""
    cards = json.loads(path.read_text(encoding="utf-8"))["cards"]
    return next((card for card in cards if name in card["names"]), None)


def measured(context: Context) -> list[Check]:
    """Return the speed of the first GPU with PyTorch, and what held it down meanwhile."""
    environment = context.with_framework("PyTorch", "torch")
    load = Load()
    with context.child(environment.python, "speed_torch.py", SECONDS) as child:
        deadline = time.monotonic() + context.left(120)
        while child.process.poll() is None and time.monotonic() < deadline:
            sample(load)
            time.sleep(0.5)
        done = running.finished(child, ["", child.name], context.left(10))
    answer = running.result(done)
    card = published(answer["name"])
    return [verdict(answer, card, load, context.mig)]


def sample(load: Load) -> None:
    """Add a reading of the first GPU, where NVML can be read."""
    try:
        with nvml.Nvml() as library:
            load.add(library.gpu(0))
    except nvml.NvmlError:
        return


def verdict(answer: Mapping[str, Any], card: Mapping[str, Any] | None, load: Load, mig: bool) -> Check:
    """Return the measured figures next to the published ones, and whether the card is far below them."""
    whole = card if card and not mig else {}
    figures = [
        figure(title, answer[key], unit, whole.get(key), str(whole.get("source", "")))
        for key, (title, unit) in TITLES.items()
        if answer.get(key)
    ]
    slow = [
        f"{each['name']} reaches {each['ratio']:.2f} of the published figure"
        for each in figures
        if each.get("ratio", 1) < MIN_RATIO
    ]
    faults = sorted(load.reasons & SLOWDOWN)
    words = under_load(load)
    if slow or faults:
        held = [f"held down by: {', '.join(faults)}"] if faults else []
        return check("speed.torch", FAILED, f"{answer['name']}: {'; '.join([*slow, *held])}. {words}", REAL, figures)
    ratios = ", ".join(f"{each['name']} {each['ratio']:.2f}" for each in figures if "ratio" in each)
    compared = f"of the published figures: {ratios}" if ratios else "no published figure here"
    return check("speed.torch", PASSED, f"{answer['name']}, {compared}. {words}", REAL, figures)


def under_load(load: Load) -> str:
    """Return in words what was seen while the GPU was busy."""
    parts = []
    if load.generation:
        lower = ", lower than it could be" if load.generation < load.generation_max else ""
        parts.append(f"PCIe generation {load.generation} of {load.generation_max}{lower}")
    if load.temperature:
        parts.append(f"at most {load.temperature} degrees Celsius")
    parts.append(
        f"clocks limited by: {', '.join(sorted(load.reasons))}" if load.reasons else "nothing limited the clocks"
    )
    return f"Under load: {', '.join(parts)}."


def epoch(context: Context) -> list[Check]:
    """Return how many times faster an epoch is on the GPU than on the CPU."""
    environment = context.with_framework("PyTorch", "torch")
    seconds = [
        float(context.run(environment.python, "epoch_torch.py", IMAGES, device, limit=120)["seconds"])
        for device in ("cuda", "cpu")
    ]
    return [epoch_verdict(seconds)]


def epoch_verdict(seconds: Sequence[float]) -> Check:
    """Return the verdict about the seconds of an epoch on the GPU and on the CPU."""
    on_gpu, on_cpu = seconds
    figures = [figure("epoch on the GPU", on_gpu, "s"), figure("epoch on the CPU", on_cpu, "s")]
    figures.append(figure("CPU to GPU", on_cpu / on_gpu, "ratio"))
    reason = f"an epoch of a small network is {on_cpu / on_gpu:.1f} times faster on the GPU"
    status = PASSED if on_cpu >= MIN_EPOCH * on_gpu else FAILED
    fix = "" if status == PASSED else ". Run `gpulab doctor` on the host."
    return check("speed.epoch", status, f"{reason}{fix}", REAL, figures)
