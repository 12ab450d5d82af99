# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose the environments of frameworks that a host gets. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.gpulab.core.plugins.module_utils.frameworks.profiles import (
    BY_NAME,
    LAYOUTS,
    MACHINES,
    TENSORFLOW_TOO_OLD,
    Profile,
)
from ansible_collections.gpulab.core.plugins.module_utils.gpu.models import MODELS
from ansible_collections.gpulab.core.plugins.module_utils.gpu.versions import numbers

CAPABILITY = re.compile(r"^\d+\.\d+$")
CAPABILITIES = {model.name: model.compute_capability for model in MODELS}


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
    capabilities, unknown = compute_capabilities(used_gpus, capability)
    host = Host(capabilities, driver, python, machine, tuple(extras))
    if unknown and (named or layout != "cpu"):
        return asdict(
            Plan(
                rejection=f"the host has {unknown[0]}, which is not in the table of GPUs: set frameworks_capability to "
                "its compute capability, or set frameworks_layout (gpulab_frameworks_layout) to cpu."
            )
        )
    if named:
        return asdict(plan_for_profiles(named, host))
    no_gpu = reason_for_no_gpu(used_gpus, host, gpu, settled)
    if layout in ("split", "unified") and no_gpu:
        return asdict(
            Plan(
                rejection=f"frameworks_layout (gpulab_frameworks_layout) is {layout}, which needs a GPU, and {no_gpu}: "
                "set it to auto or cpu, or set frameworks_profiles to make an image for other hosts."
            )
        )
    candidates = LAYOUTS["cpu"] if no_gpu else LAYOUTS[layout]
    notes = [f"all frameworks run on the CPU, because {no_gpu}."] if no_gpu and layout == "auto" and used_gpus else []
    return asdict(first_that_fits(candidates, host, layout, notes))


def compute_capabilities(gpus: Iterable[Mapping[str, Any]], default: str) -> tuple[dict[str, str], list[str]]:
    """Return the compute capabilities by GPU, and the GPUs whose compute capability is unknown."""
    capabilities, unknown = {}, []
    for gpu in gpus:
        name = str(gpu["model"]) if gpu["model"] != "unknown" else f"a GPU with PCI id 10de:{gpu['device_id']}"
        if capability := gpu.get("compute_capability") or CAPABILITIES.get(str(gpu["model"])) or default:
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


def plan_for_profiles(names: tuple[str, ...], host: Host) -> Plan:
    """Return the plan for profiles that are set by name."""
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        return Plan(rejection=f"frameworks_profiles: {unknown[0]} is unknown; choose from {', '.join(BY_NAME)}.")
    reasons = [f"{name}: {reason}" for name in names for reason in obstacles(BY_NAME[name], host)]
    if reasons:
        return Plan(rejection=f"frameworks_profiles cannot be installed: {'; '.join(reasons)}.")
    return Plan(environments(names, host))


def first_that_fits(candidates: Iterable[tuple[str, ...]], host: Host, layout: str, notes: list[str]) -> Plan:
    """Return the plan for the first combination without obstacles, else the CPU builds or a rejection."""
    reasons: list[str] = []
    for names in candidates:
        new_reasons = [f"{name}: {reason}" for name in names for reason in obstacles(BY_NAME[name], host)]
        if not new_reasons:
            if names[0] == "cpu" and len(names) > 1:
                notes.append(f"TensorFlow runs on the CPU, because {TENSORFLOW_TOO_OLD}.")
            elif reasons and layout == "auto":
                notes.append(f"an older combination was chosen, because {reasons[0].partition(': ')[2]}.")
            return Plan(environments(names, host), tuple(notes))
        reasons += [reason for reason in new_reasons if reason not in reasons]
    cpu_fits = not obstacles(BY_NAME["cpu"], host)
    if layout == "auto" and cpu_fits:
        note = f"all frameworks run on the CPU, because no combination for GPUs fits: {'; '.join(reasons)}."
        return Plan(environments(["cpu"], host), (note,))
    fix = "set frameworks_layout to auto or cpu" if cpu_fits else "set frameworks_python to another interpreter"
    return Plan(
        rejection=f"frameworks_layout (gpulab_frameworks_layout) {layout} cannot be installed: {'; '.join(reasons)}: "
        f"{fix}."
    )
