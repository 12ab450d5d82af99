# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the role nvidia_driver that the plan depends on."""

from __future__ import annotations

from dataclasses import dataclass

GPU = "nvidia_driver_gpu (gpulab_gpu)"
SOURCE = "nvidia_driver_source (gpulab_driver_source)"
BRANCH = "nvidia_driver_branch (gpulab_driver_branch)"
VERSION = "nvidia_driver_version"
FLAVOUR = "nvidia_driver_flavour"
SECURE_BOOT = "nvidia_driver_secure_boot"


@dataclass(frozen=True)
class DriverOptions:
    """Options as in the specification of the role; an empty text is an option that is not set."""

    gpu: str = "auto"
    state: str = "present"
    source: str = "auto"
    branch: str = ""
    version: str = ""
    flavour: str = "auto"
    secure_boot: str = "auto"

    @property
    def gpu_is_required(self) -> bool:
        """Return whether a host without a usable GPU is an error."""
        return self.gpu == "required"

    def restrictions(self) -> list[str]:
        """Return the options that restrict the choice of a driver, with their values, for messages."""
        named = {SOURCE: self.source, BRANCH: self.branch, VERSION: self.version, FLAVOUR: self.flavour}
        return [f"{name} {value}" for name, value in named.items() if value not in ("", "auto")]
