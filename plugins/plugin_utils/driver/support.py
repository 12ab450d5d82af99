# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a driver supports the GPUs of a host."""

from __future__ import annotations

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import HostFacts
from ansible_collections.gpulab.core.plugins.module_utils.gpu.versions import numbers
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.branches import (
    CUDA_OF_ARCHITECTURE,
    CUDA_OF_BRANCH,
    LAST_CUDA_OF_ARCHITECTURE,
)
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.options import GPU

NEWER_THAN_ALL = 99
"""A CUDA major version above all others."""


def branch_of(version: str) -> int:
    """Return the branch of a driver version, 0 for an empty version."""
    parts = numbers(version)
    return parts[0] if parts else 0


def gpu_names(host: HostFacts) -> str:
    """Return the models of a host's GPUs, once each, for messages."""
    return ", ".join(sorted({gpu["model"] for gpu in host["gpus"]}))


def mismatch(host: HostFacts, version: str, flavour: str) -> str:
    """Return why a driver does not support the GPUs of a host, empty when it does.

    `version` is a version or a branch, which stands for its newest version; an empty `flavour` is not checked.
    """
    needs = host["requirements"]
    names = gpu_names(host)
    lowest = needs["min_driver"] or ""
    is_version = len(numbers(version)) > 1
    if (numbers(version) < numbers(lowest)) if is_version else (branch_of(version) < branch_of(lowest)):
        return f"driver {version} is too old for {names}: at least {lowest} is needed"
    if needs["last_driver_branch"] and branch_of(version) > needs["last_driver_branch"]:
        return f"driver {version} is too new for {names}: R{needs['last_driver_branch']} is the last that supports it"
    if flavour and needs["kernel_modules"] and flavour not in needs["kernel_modules"]:
        return f"{names} needs the {' or '.join(needs['kernel_modules'])} kernel module, not the {flavour} one"
    return ""


def conflict(host: HostFacts) -> str:
    """Return why no driver supports all GPUs of a host together, empty when there is one."""
    known = [gpu for gpu in host["gpus"] if gpu["model"] != "unknown"]
    needs = host["requirements"]
    if not known:
        return ""
    last, lowest = needs["last_driver_branch"], branch_of(needs["min_driver"] or "")
    if needs["kernel_modules"] and not (last and lowest > last):
        return ""
    by_age = sorted(known, key=lambda gpu: numbers(gpu["compute_capability"]))
    old, new = by_age[0], by_age[-1]
    return (
        f"no driver supports {old['model']} ({old['architecture']}) and {new['model']} ({new['architecture']}) in one "
        f"host: remove one of them, or hide one from the host (vfio), or set {GPU} to none"
    )


def cuda_range(host: HostFacts, branch: int) -> dict[str, str]:
    """Return the CUDA versions that run: `min` of the newest GPU, `max` of the driver and the oldest GPU."""
    architectures = {gpu["architecture"] for gpu in host["gpus"] if "architecture" in gpu}
    of_driver = [major for known, major in CUDA_OF_BRANCH.items() if known <= branch]
    of_gpus = [LAST_CUDA_OF_ARCHITECTURE.get(name, NEWER_THAN_ALL) for name in architectures]
    lowest = [CUDA_OF_ARCHITECTURE[name] for name in architectures if name in CUDA_OF_ARCHITECTURE]
    return {"min": max(lowest, key=numbers, default=""), "max": f"{min([max(of_driver, default=11), *of_gpus])}.x"}
