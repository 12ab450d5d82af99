# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a driver: what to install, change, keep or remove on a host, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import HostFacts
from ansible_collections.gpulab.core.plugins.module_utils.gpu.models import display_card
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.branches import CUDA_OF_BRANCH
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.headers import header_packages
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.offers import Offer
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.options import (
    BRANCH,
    FLAVOUR,
    GPU,
    SOURCE,
    DriverOptions,
)
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.packages import DRIVER_GLOBS, DRIVER_NAMES
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.selection import (
    loadable_offers,
    suitable_offers,
    why_no_offer,
)
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.support import (
    branch_of,
    conflict,
    cuda_range,
    mismatch,
)
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.verification import driver_problems


@dataclass(frozen=True)
class DriverPlan:
    """What to do with the driver of a host.

    `action` is none, adopt (another driver is used), install, change, keep or uninstall. `problems` are the reasons why
    the plan cannot be applied. `headers` are packages with kernel headers, `patterns` and `names` identify the packages
    of any driver.
    """

    gpus: list[str]
    action: str = "none"
    source: str = ""
    branch: int = 0
    flavour: str = ""
    version: str = ""
    main: str = ""
    packages: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    components: list[str] = field(default_factory=list)
    headers: dict[str, list[str]] = field(default_factory=lambda: {"required": [], "optional": []})
    dkms: bool = False
    fabric_manager: str = ""
    cuda: dict[str, str] = field(default_factory=lambda: {"min": "", "max": ""})
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    patterns: list[str] = field(default_factory=lambda: list(DRIVER_GLOBS))
    names: list[str] = field(default_factory=lambda: list(DRIVER_NAMES))


def driver_plan(host: HostFacts, options: DriverOptions) -> DriverPlan:
    """Return the plan for a host and the requested options."""
    plan = DriverPlan(gpus=[gpu["model"] for gpu in host["gpus"]])
    if options.state == "absent":
        return _removal(plan, host)
    if options.gpu == "none":
        return _with_note(plan, f"{GPU} is none: the GPUs are not used")
    if not host["gpus"]:
        plan = _with_note(plan, "the host has no NVIDIA GPU on its PCI bus")
        missing = (
            f'{GPU} is "required" and the host has no NVIDIA GPU on its PCI bus: use another host, or set it to auto'
        )
        return _with_problem(plan, missing) if options.gpu_is_required else plan
    for device_id in host["requirements"]["unknown"]:
        plan = _with_note(plan, _unknown_note(device_id))
    if reason := conflict(host):
        return _with_problem(plan, reason)
    existing = _existing_driver(plan, host, options) or _obstacle(plan, host, options)
    if existing:
        return existing
    suitable = suitable_offers(host, options)
    if not suitable:
        return _with_problem(plan, why_no_offer(host, options))
    loadable, reason = loadable_offers(host, options, suitable)
    return _offered(plan, host, options, loadable[0]) if loadable else _with_problem(plan, reason)


def _unknown_note(device_id: str) -> str:
    """Return the note about a GPU that is not in the table of GPUs."""
    if card := display_card(f"10de:{device_id}"):
        return f"{card.name} (GPU {device_id}) is a display card: the driver is chosen for the other GPUs"
    return f"GPU {device_id} is not in the table of this collection: its requirements are unknown"


def _with_note(plan: DriverPlan, note: str) -> DriverPlan:
    return replace(plan, notes=[*plan.notes, note])


def _with_problem(plan: DriverPlan, problem: str) -> DriverPlan:
    return replace(plan, problems=[*plan.problems, problem])


def _removal(plan: DriverPlan, host: HostFacts) -> DriverPlan:
    """Return the plan that removes a driver which the role installed, and only that."""
    if host["managed"]:
        return replace(plan, action="uninstall")
    if host["driver_kind"] != "none":
        return _with_note(plan, "the driver was not installed by this role and is not changed")
    return plan


def _existing_driver(plan: DriverPlan, host: HostFacts, options: DriverOptions) -> DriverPlan | None:
    """Return the plan for a driver of another origin, None when there is none or another source is requested."""
    version = host["driver_version"] or host["userland_version"]
    ours, kind = bool(host["managed"]), host["driver_kind"]
    if options.source not in ("auto", "preinstalled"):
        if kind in ("runfile", "injected", "cloud_image") and not ours:
            return _with_problem(
                plan,
                f"driver {version} was not installed from packages ({kind}), and {SOURCE} {options.source} would add "
                "a second one: remove the first, or choose preinstalled",
            )
        return None
    if kind == "none" or (ours and options.source == "auto") or not version:
        if options.source == "preinstalled":
            return _with_problem(
                plan, f"{SOURCE} is preinstalled, and the host has no driver: install one, or choose auto"
            )
        return None
    return _adoption(plan, host, version)


def _adoption(plan: DriverPlan, host: HostFacts, version: str) -> DriverPlan:
    """Return the plan that uses the driver on the host as it is."""
    broken = sorted(name for name, package in host["packages"].items() if package["state"] != "installed")
    if broken:
        plan = _with_problem(
            plan,
            f"packages of a driver are half installed ({', '.join(broken)}): repair them with "
            "'apt-get --fix-broken install' or purge them, then run again",
        )
    if reason := mismatch(host, version, host["driver_flavour"]):
        plan = _with_problem(plan, f"{reason}; replace it by hand, or name a source with {SOURCE}")
    return replace(
        _with_note(plan, f"driver {version} is already installed ({host['driver_kind']}) and is not changed"),
        action="adopt",
        source="preinstalled",
        branch=branch_of(version),
        flavour=host["driver_flavour"],
        version=version,
        cuda=cuda_range(host, branch_of(version)),
    )


def _obstacle(plan: DriverPlan, host: HostFacts, options: DriverOptions) -> DriverPlan | None:
    """Return the plan for a container and for unknown GPUs, None for all other hosts."""
    if host["container"] and host["gpus"][0]["address"] != "expected":
        text = (
            f"the host is a container ({host['container']}) without a driver inside: install the driver on the machine "
            "that runs it, and pass the GPUs to the container (podman run --device nvidia.com/gpu=all)"
        )
        is_problem = options.gpu_is_required or options.source != "auto"
        return _with_problem(plan, text) if is_problem else _with_note(plan, text)
    chosen = (options.branch or options.version) and options.flavour != "auto"
    all_unknown = len(host["requirements"]["unknown"]) == len({gpu["device_id"] for gpu in host["gpus"]})
    if all_unknown and not chosen:
        text = (
            f"no driver is chosen for an unknown GPU: set {BRANCH} and {FLAVOUR} (open from Blackwell on, proprietary "
            f"before Turing), or install a driver and set {SOURCE} to preinstalled"
        )
        return _with_problem(plan, text) if options.gpu_is_required else _with_note(plan, text)
    return None


def _offered(plan: DriverPlan, host: HostFacts, options: DriverOptions, offer: Offer) -> DriverPlan:
    """Return the plan that installs an offer, changes to it, or keeps it."""
    manager = offer.fabric_manager if host["fabric"] == "nvswitch" else ""
    if host["fabric"] == "nvswitch" and not manager:
        plan = _with_problem(
            plan,
            f"the GPUs are connected by NVSwitch, and {offer.source} has no fabric manager for R{offer.branch}: set "
            f"{SOURCE} to nvidia_repo",
        )
    for note in _notes(host, offer):
        plan = _with_note(plan, note)
    managed = host["managed"]
    same = (managed.get("source"), managed.get("branch"), managed.get("flavour")) == (
        offer.source,
        offer.branch,
        offer.flavour,
    )
    kept = managed.get("version", "") if same else ""
    foreign = bool(host["userland_version"]) and not managed
    differs = bool(managed) and (not same or not _is_version(kept, options.version))
    plan = replace(
        plan,
        action="change" if foreign or differs else "install",
        source=offer.source,
        branch=offer.branch,
        flavour=offer.flavour,
        version=options.version or kept,
        main=offer.main,
        packages=[*offer.packages, *([manager] if manager else [])],
        first=list(offer.first),
        components=list(offer.components),
        headers=header_packages(host) if offer.dkms else {"required": [], "optional": []},
        dkms=offer.dkms,
        fabric_manager=manager,
        cuda=cuda_range(host, offer.branch),
    )
    return replace(plan, action="keep") if same and plan.action == "install" and _is_complete(host, plan) else plan


def _notes(host: HostFacts, offer: Offer) -> Sequence[str]:
    """Return the notes for an administrator about an offer."""
    notes = []
    if host["fabric"] == "rack":
        notes.append("the GPUs are connected by a switch outside the host: set up nvidia-imex yourself")
    if offer.dkms and host["secure_boot"] == "enabled":
        notes.append("Secure Boot: the module is signed with a key of this host, which you enrol at its console")
    newest = CUDA_OF_BRANCH.get(offer.branch, max(CUDA_OF_BRANCH.values()))
    if newest < max(CUDA_OF_BRANCH.values()):
        notes.append(f"R{offer.branch} runs CUDA {newest} and older only")
    return notes


def _is_version(version: str, requested: str) -> bool:
    """Return whether a package's version is the requested one: empty, the driver's version, or the package's."""
    return not requested or version == requested or bool(re.match(rf"(\d+:)?{re.escape(requested)}(?![\d.])", version))


def _is_complete(host: HostFacts, plan: DriverPlan) -> bool:
    """Return whether the installed driver is whole, with a module for every kernel that has headers."""
    built = all(host["modules"].get(kernel["release"]) for kernel in host["kernels"] if kernel["headers"])
    same = set(host["managed"].get("packages", [])) == set(plan.packages)
    problems = driver_problems(host, branch=plan.branch, flavour=plan.flavour, fabric_manager=plan.fabric_manager)
    return same and (built or not plan.dkms) and not problems
