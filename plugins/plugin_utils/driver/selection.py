# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Selection of a driver among the offers of the sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import HostFacts
from ansible_collections.gpulab.core.plugins.module_utils.gpu.models import OPEN, PROPRIETARY
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.branches import LTS, OPEN_FOR_DESKTOPS
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.headers import kernel_flavour
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.offers import Offer, offers
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.options import GPU, SECURE_BOOT, DriverOptions
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.support import branch_of, gpu_names, mismatch


def requested_branches(host: HostFacts, options: DriverOptions) -> tuple[int, ...]:
    """Return the branches to take from NVIDIA's repository, the best first."""
    if options.version or options.branch:
        return (branch_of(options.version or options.branch),)
    return (max(LTS, branch_of(host["requirements"]["min_driver"] or "")),)


def flavours(host: HostFacts, options: DriverOptions, branch: int) -> list[str]:
    """Return the flavours of the kernel module that may be used, the best first."""
    allowed = list(host["requirements"]["kernel_modules"]) or [OPEN, PROPRIETARY]
    if options.flavour != "auto":
        return [options.flavour] if options.flavour in allowed else []
    first = OPEN if branch >= OPEN_FOR_DESKTOPS else PROPRIETARY
    return sorted(allowed, key=lambda flavour: flavour != first)


def suitable_offers(host: HostFacts, options: DriverOptions) -> list[Offer]:
    """Return the offers that support the GPUs and fit the options, the best first."""
    system, kernel = host["system"], kernel_flavour(host["boot_kernel"])
    suitable = [
        offer
        for offer in offers(system["id"], system["version"], kernel, requested_branches(host, options))
        if options.source in ("auto", offer.source)
        and (not options.branch or offer.branch == branch_of(options.branch))
        and (not options.version or offer.branch == branch_of(options.version))
        and not mismatch(host, str(offer.branch), offer.flavour)
        and offer.flavour in flavours(host, options, offer.branch)
    ]
    order = {(offer.source, offer.branch): position for position, offer in reversed(list(enumerate(suitable)))}

    def rank(offer: Offer) -> tuple[int, int]:
        return order[offer.source, offer.branch], flavours(host, options, offer.branch).index(offer.flavour)

    return sorted(suitable, key=rank)


def loadable_offers(host: HostFacts, options: DriverOptions, suitable: Sequence[Offer]) -> tuple[list[Offer], str]:
    """Return the offers whose modules Secure Boot allows, and why there is none."""
    if host["secure_boot"] != "enabled":
        return list(suitable), ""
    signed = [offer for offer in suitable if not offer.dkms]
    if signed:
        return signed, ""
    if options.secure_boot == "own_key":
        return list(suitable), ""
    return [], (
        f"Secure Boot is on, and the module would be built on the host: set {SECURE_BOOT} to own_key (this creates a "
        "key, which you enrol once at the host's console), or turn Secure Boot off in the firmware"
    )


def why_no_offer(host: HostFacts, options: DriverOptions) -> str:
    """Return why no offer is suitable, with the remedy."""
    system = f"{host['system']['id'].capitalize()} {host['system']['version']}"
    names = gpu_names(host)
    unrestricted = replace(options, source="auto", branch="", version="", flavour="auto")
    possible = suitable_offers(host, unrestricted)
    if not possible:
        needs = host["requirements"]
        branch = needs["last_driver_branch"] or branch_of(needs["min_driver"] or "")
        remedy = "install Debian 12 or Ubuntu on the host" if needs["last_driver_branch"] else "install a newer system"
        return f"{names} needs driver R{branch}, which no source has for {system}: {remedy}, or set {GPU} to none"
    listed = sorted({f"{offer.source} R{offer.branch} {offer.flavour}" for offer in possible})
    requested = options.version or options.branch
    reason = mismatch(host, requested, options.flavour.replace("auto", "")) if requested else ""
    because = f" ({reason})" if reason else ""
    restrictions = " with ".join(options.restrictions())
    return f"{restrictions} has no driver for {names} on {system}{because}: possible are {', '.join(listed)}"
