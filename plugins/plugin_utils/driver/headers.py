# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages with kernel headers."""

from __future__ import annotations

import re

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import HostFacts, System

DEBIAN_FLAVOURS = {"x86_64": ["amd64"], "aarch64": ["arm64"]}
"""Debian's kernel flavours by processor."""


def kernel_flavour(release: str) -> str:
    """Return the part of a kernel release after the numbers, such as cloud-amd64, generic or gcp."""
    match = re.match(r"^\d[\d.]*(?:-\d+)?(?:[+~][\w.+~]*?)?-([a-z][\w-]*)$", release)
    return match[1] if match else ""


def default_flavours(system: System) -> list[str]:
    """Return the kernel flavours to assume on a system without a kernel on its disk."""
    return DEBIAN_FLAVOURS.get(system["machine"], []) if system["id"] == "debian" else ["generic"]


def header_packages(host: HostFacts) -> dict[str, list[str]]:
    """Return the `required` packages with kernel headers, and the `optional` ones of older kernels."""
    releases = [kernel["release"] for kernel in host["kernels"] if kernel["installed"]]
    # A chroot or a container may have headers without a kernel: the module is built for them.
    releases = releases or [kernel["release"] for kernel in host["kernels"]]
    boot = host["boot_kernel"] or (releases[-1] if releases else "")
    kinds = sorted({kind for release in releases if (kind := kernel_flavour(release))})
    kinds = kinds or default_flavours(host["system"])
    return {
        "required": [*(f"linux-headers-{kind}" for kind in kinds), *([f"linux-headers-{boot}"] if boot else [])],
        "optional": [f"linux-headers-{release}" for release in releases if release != boot],
    }
