# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose the environments of frameworks that a host gets. Pure functions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ansible_collections.gpulab.core.plugins.module_utils.frameworks.profiles import (
    BY_NAME,
    LAYOUTS,
    MACHINES,
    PROFILES,
    TENSORFLOW_TOO_OLD,
    Profile,
)
from ansible_collections.gpulab.core.plugins.module_utils.gpu.models import DISPLAY_CARDS, MODELS, display_card
from ansible_collections.gpulab.core.plugins.module_utils.gpu.versions import numbers

CAPABILITY = re.compile(r"^\d+\.\d+$")
CAPABILITIES = {
    **{model.name: model.compute_capability for model in MODELS},
    **{card.name: card.compute_capability for card in DISPLAY_CARDS},
}
LOWEST = min((profile.min_capability for profile in PROFILES if profile.cuda), key=numbers)
"""The lowest compute capability that a set for GPUs supports."""


@dataclass(frozen=True)
class Environment:
    """One environment to install: the suffix of its name, and its content."""

    suffix: str
    profile: str
    lock: str
    title: str
    on_gpu: tuple[str, ...]
    on_cpu: tuple[str, ...]
    free_gb: float
    extras: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The environments of a host. A rejection, if there is one, names the reason and the fix."""

    environments: tuple[Environment, ...] = ()
    notes: tuple[str, ...] = ()
    rejection: str = ""


@dataclass(frozen=True)
class Host:
    """The facts that decide: compute capabilities by GPU, driver (empty: none), Python, processor, extra packages."""

    capabilities: Mapping[str, str] = field(default_factory=dict)
    driver: str = ""
    python: str = "3.11"
    machine: str = "x86_64"
    extras: tuple[str, ...] = ()


def plan(
    gpus: Iterable[Mapping[str, Any]],
    driver: str,
    layout: str = "auto",
    python: str = "3.11",
    machine: str = "x86_64",
    gpu: str = "auto",
    profiles: Iterable[str] = (),
    capability: str = "",
    settled: bool = True,
    extras: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the fields of Plan for a host: its environments, or a rejection with the reason.

    `gpus` and `driver` are results of gpu_info; `settled` means that no driver will be installed later in the run.
    `gpu` none ignores the GPUs. `profiles` overrides the choice, for images that are made on another machine. `extras`
    are sets and files of extra packages for every environment.
    """
    if capability and not CAPABILITY.match(capability):
        reason = f"frameworks_capability: {capability!r} is not a compute capability such as 8.9."
        return asdict(Plan(rejection=reason))
    named = tuple(profiles)
    used_gpus = list(gpus) if gpu != "none" else []
    cards, displays = without_displays(used_gpus)
    capabilities, unknown = compute_capabilities(cards, capability)
    host = Host(capabilities, driver, python, machine, tuple(extras))
    if unknown and not capabilities and (named or layout != "cpu"):
        return asdict(
            Plan(
                rejection=f"the host has {unknown[0]}, which is not in the table of GPUs: set frameworks_capability to "
                "its compute capability, or set frameworks_layout (gpulab_frameworks_layout) to cpu."
            )
        )
    notes = [] if layout == "cpu" else [*left_out_notes(displays), *unknown_notes(unknown)]
    if named:
        return asdict(plan_for_profiles(named, host, notes))
    no_gpu = reason_for_no_gpu(used_gpus, host, gpu, settled)
    if layout in ("split", "unified") and no_gpu:
        return asdict(
            Plan(
                rejection=f"frameworks_layout (gpulab_frameworks_layout) is {layout}, which needs a GPU, and {no_gpu}: "
                "set it to auto or cpu, or set frameworks_profiles to make an image for other hosts."
            )
        )
    candidates = LAYOUTS["cpu"] if no_gpu else LAYOUTS[layout]
    if no_gpu:
        notes = [f"all frameworks run on the CPU, because {no_gpu}."] if layout == "auto" and used_gpus else []
    counts = Counter(gpu_name(gpu) for gpu in cards)
    return asdict(first_that_fits(candidates, host, layout, notes, counts))


def gpu_name(gpu: Mapping[str, Any]) -> str:
    """Return the name of a GPU for a message: that of its model or of a display card, else its PCI id."""
    card = display_card(f"10de:{gpu.get('device_id', '')}") if gpu["model"] == "unknown" else None
    return card.name if card else str(gpu["model"]) if gpu["model"] != "unknown" else unnamed(gpu)


def unnamed(gpu: Mapping[str, Any]) -> str:
    """Return the name of a GPU that no table has."""
    return f"a GPU with PCI id 10de:{gpu['device_id']}"


def without_displays(gpus: Iterable[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Return the GPUs that compute, and the names of the display cards next to them.

    Where the host has no other card, or no other card that any set supports, a display card computes, too.
    """
    listed = list(gpus)
    displays = [gpu for gpu in listed if gpu["model"] == "unknown" and display_card(f"10de:{gpu['device_id']}")]
    others = [gpu for gpu in listed if gpu not in displays]
    known = compute_capabilities(others, "")[0].values()
    if not others or (known and all(numbers(capability) < numbers(LOWEST) for capability in known)):
        return listed, []
    return others, sorted({gpu_name(gpu) for gpu in displays})


def left_out_notes(names: Iterable[str]) -> list[str]:
    """Return one note about display cards."""
    listed = ", ".join(names)
    return [f"the sets were chosen without the display card {listed}, on which they may not run."] if listed else []


def unknown_notes(unknown: Iterable[str]) -> list[str]:
    """Return one note for each GPU that no table has, next to others that are known."""
    return [
        f"{name} is not in the table of GPUs and the sets were chosen without it: set frameworks_capability to its "
        "compute capability if it computes."
        for name in unknown
    ]


def compute_capabilities(gpus: Iterable[Mapping[str, Any]], default: str) -> tuple[dict[str, str], list[str]]:
    """Return the compute capabilities by GPU, and the GPUs whose compute capability is unknown."""
    capabilities, unknown = {}, []
    for gpu in gpus:
        name = gpu_name(gpu)
        if capability := gpu.get("compute_capability") or CAPABILITIES.get(name) or default:
            capabilities[name] = str(capability)
        else:
            unknown.append(name)
    return capabilities, unknown


def obstacles(profile: Profile, host: Host) -> list[str]:
    """Return the reasons why a profile cannot work on a host."""
    reasons = []
    if host.python not in profile.pythons:
        reasons.append(f"it has wheels for Python {', '.join(profile.pythons)} and not for {host.python}")
    if host.machine not in MACHINES:
        reasons.append(f"it is locked for {', '.join(MACHINES)} and not for {host.machine}")
    for gpu, capability in host.capabilities.items():
        if profile.cuda and numbers(capability) < numbers(profile.min_capability):
            reasons.append(f"the host has {gpu} (compute capability {capability}), and {profile.min_reason}")
        if profile.cuda and numbers(capability) > numbers(profile.max_capability):
            reasons.append(f"the host has {gpu} (compute capability {capability}), and {profile.max_reason}")
    if profile.cuda and host.driver and numbers(host.driver) < numbers(profile.min_driver):
        reasons.append(
            f"CUDA {profile.cuda} needs driver {profile.min_driver} or newer, and the host has {host.driver}"
        )
    return reasons


def environments(names: Iterable[str], host: Host) -> tuple[Environment, ...]:
    """Return the environments for profiles: the first one has no suffix, another one that of its framework."""
    profiles = [BY_NAME[name] for name in names]
    result = []
    for position, profile in enumerate(profiles):
        device = "; GPU" if profile.cuda else "; CPU" if len(profiles) > 1 else ""
        extras = tuple(profile.extra_lock(entry, host.python) for entry in host.extras)
        result.append(
            Environment(
                suffix=f"-{profile.name.partition('-')[0]}" if position else "",
                profile=profile.name,
                lock=profile.lock(host.python),
                title=profile.title + device,
                on_gpu=profile.on_gpu,
                on_cpu=profile.on_cpu,
                free_gb=profile.free_gb + len(extras),
                extras=extras,
            )
        )
    return tuple(result)


def reason_for_no_gpu(gpus: list[Mapping[str, Any]], host: Host, gpu: str, settled: bool) -> str:
    """Return the reason why no GPU can be used, empty if one can."""
    if gpu == "none":
        return 'frameworks_gpu (gpulab_gpu) is "none"'
    if not gpus:
        return "the host has no NVIDIA GPU"
    if settled and not host.driver:
        return "no NVIDIA driver is loaded"
    return ""


def plan_for_profiles(names: tuple[str, ...], host: Host, notes: Iterable[str] = ()) -> Plan:
    """Return the plan for profiles that are set by name."""
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        return Plan(rejection=f"frameworks_profiles: {unknown[0]} is unknown; choose from {', '.join(BY_NAME)}.")
    reasons = [f"{name}: {reason}" for name in names for reason in obstacles(BY_NAME[name], host)]
    if reasons:
        return Plan(rejection=f"frameworks_profiles cannot be installed: {'; '.join(reasons)}.")
    return Plan(environments(names, host), tuple(notes))


def smaller_hosts(host: Host, counts: Mapping[str, int]) -> Iterator[tuple[Host, list[str]]]:
    """Return the host with some of its GPUs, and the GPUs left out; most GPUs first, then the newest.

    Profiles support a range of compute capabilities, so only ranges are tried.
    """
    levels = sorted(set(host.capabilities.values()), key=numbers)
    ranges = []
    for first in range(len(levels)):
        for last in range(first, len(levels)):
            if last - first + 1 < len(levels):
                kept = {name: level for name, level in host.capabilities.items() if level in levels[first : last + 1]}
                ranges.append((sum(counts.get(name, 1) for name in kept), last, kept))
    for *_order, kept in sorted(ranges, key=lambda entry: entry[:2], reverse=True):
        yield replace(host, capabilities=kept), [name for name in host.capabilities if name not in kept]


def fitting(candidates: Iterable[tuple[str, ...]], host: Host) -> tuple[tuple[str, ...], list[str]]:
    """Return the first combination without obstacles, empty if there is none, and the reasons against those before."""
    reasons: list[str] = []
    for names in candidates:
        new_reasons = [f"{name}: {reason}" for name in names for reason in obstacles(BY_NAME[name], host)]
        if not new_reasons:
            return names, reasons
        reasons += [reason for reason in new_reasons if reason not in reasons]
    return (), reasons


def choice_notes(names: tuple[str, ...], reasons: list[str], layout: str) -> list[str]:
    """Return the notes about a combination that is not the newest for GPUs."""
    if names[0] == "cpu" and len(names) > 1:
        return [f"TensorFlow runs on the CPU, because {TENSORFLOW_TOO_OLD}."]
    if reasons and layout == "auto":
        return [f"an older combination was chosen, because {reasons[0].partition(': ')[2]}."]
    return []


def first_that_fits(
    candidates: Iterable[tuple[str, ...]],
    host: Host,
    layout: str,
    notes: list[str],
    counts: Mapping[str, int] | None = None,
) -> Plan:
    """Return the plan for the first combination without obstacles, else the CPU builds or a rejection.

    Where no combination supports all GPUs, one for most of them is chosen, and a note names the others.
    """
    offered = list(candidates)
    names, reasons = fitting(offered, host)
    if names:
        return Plan(environments(names, host), (*notes, *choice_notes(names, reasons, layout)))
    for smaller, left_out in smaller_hosts(host, counts or {}):
        names, smaller_reasons = fitting(offered, smaller)
        if names:
            listed = ", ".join(f"{name} (compute capability {host.capabilities[name]})" for name in left_out)
            note = f"the sets do not support {listed}: they run on {', '.join(smaller.capabilities)} only."
            return Plan(environments(names, smaller), (*notes, note, *choice_notes(names, smaller_reasons, layout)))
    cpu_fits = not obstacles(BY_NAME["cpu"], host)
    if layout == "auto" and cpu_fits:
        note = f"all frameworks run on the CPU, because no combination for GPUs fits: {'; '.join(reasons)}."
        return Plan(environments(["cpu"], host), (note,))
    fix = "set frameworks_layout to auto or cpu" if cpu_fits else "set frameworks_python to another interpreter"
    return Plan(
        rejection=f"frameworks_layout (gpulab_frameworks_layout) {layout} cannot be installed: {'; '.join(reasons)}: "
        f"{fix}."
    )
