# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter of the role gpu_sharing; it is documented in the .yml file of its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import HostFacts
from ansible_collections.gpulab.core.plugins.plugin_utils.gpu_sharing.plan import Group, SharingOptions, sharing_plan

NUMBERS = ("slots_per_gpu", "expected_users", "user_slots")
HOURS = ("hold_hours", "confirmation_minutes")


def plan_filter(
    host: HostFacts,
    options: Mapping[str, Any],
    parameters: str = "",
    groups: str = "",
    missing_devices: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the plan as a dictionary. Numbers may be text, as in an INI inventory."""
    values: dict[str, Any] = {
        name: int(value) if name in NUMBERS else float(value) if name in HOURS else value
        for name, value in options.items()
    }
    values["groups"] = [Group.of(group) for group in values.get("groups", ())]
    return asdict(sharing_plan(host, SharingOptions(**values), parameters, groups, missing_devices))


class FilterModule:
    """The filter of the role gpu_sharing."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by name."""
        return {"gpu_sharing_plan": plan_filter}
