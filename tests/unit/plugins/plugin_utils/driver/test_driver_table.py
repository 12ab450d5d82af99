# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as a table."""

from __future__ import annotations

from ansible_collections.gpulab.core.plugins.plugin_utils.driver.options import DriverOptions
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.plan import driver_plan
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.table import plan_lines
from tests.unit.plugins.plugin_utils.driver.driver_hosts import host


def table(*ids: str) -> str:
    """Return the table of the plan for a host with these GPUs."""
    facts = host(*ids)
    return "\n".join(plan_lines(driver_plan(facts, DriverOptions()), facts))


def test_plan_is_printed_as_a_table() -> None:
    """With the packages, and with the problems."""
    text = table("1eb8", "1eb8")
    for part in ("2 x T4", "nvidia_repo", "R580", "open", "nvidia-driver-pinning-580", "linux-headers-amd64"):
        assert part in text
    assert "PROBLEM" not in text
    assert "PROBLEM" in table("1db1", "2901")
