# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as a table."""

from __future__ import annotations

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import HostFacts
from ansible_collections.gpulab.core.plugins.module_utils.gpu.reboot import reboot_reasons
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.plan import DriverPlan


def plan_lines(plan: DriverPlan, host: HostFacts) -> list[str]:
    """Return a plan as the lines of a table; rows without a value are left out."""
    models = {model: plan.gpus.count(model) for model in plan.gpus}
    system = host["system"]
    libraries = host["userland_version"]
    rows = [
        ("GPUs", ", ".join(f"{number} x {model}" for model, number in models.items()) or "none"),
        ("system", f"{system['id']} {system['version']} {system['machine']}"),
        ("Secure Boot", host["secure_boot"]),
        ("driver now", host["driver_version"] or (f"{libraries} (not loaded)" if libraries else "none")),
        ("action", plan.action),
        ("source", plan.source),
        ("branch", f"R{plan.branch}" if plan.branch else ""),
        ("version", plan.version or ("the newest of the branch, then kept" if plan.packages else "")),
        ("kernel module", plan.flavour),
        ("packages", ", ".join([*plan.first, *plan.packages])),
        ("kernel headers", ", ".join([*plan.headers["required"], *plan.headers["optional"]])),
        ("CUDA", " to ".join(value for value in (plan.cuda["min"], plan.cuda["max"]) if value)),
        ("restart", "; ".join(reboot_reasons(host))),
        *(("note", note) for note in plan.notes),
        *(("PROBLEM", problem) for problem in plan.problems),
    ]
    width = max(len(name) for name, _value in rows)
    return [f"{name:<{width}}  {value}" for name, value in rows if value]
