# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of the driver plan, as templates use them."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.gpulab.core.plugins.filter.driver import FilterModule
from tests.unit.plugins.plugin_utils.driver.driver_hosts import INSTALLED, host

FILTERS = FilterModule().filters()


def test_plan_is_a_dictionary_with_its_table() -> None:
    """Lists are lists, so that templates can add them; the branch may be a number in the inventory."""
    plan = FILTERS["driver_plan"](host("1eb8"), {"source": "nvidia_repo", "branch": 580})
    assert (plan["action"], plan["branch"], plan["problems"]) == ("install", 580, [])
    assert plan["first"] + plan["packages"][:1] == ["nvidia-driver-pinning-580", "nvidia-kernel-open-dkms"]
    assert any(line.startswith("branch") and line.endswith("R580") for line in plan["lines"])


def test_unknown_option_is_rejected_by_name() -> None:
    """A misspelt key is an error and not ignored."""
    with pytest.raises(AnsibleFilterError, match="sauce"):
        FILTERS["driver_plan"](host("1eb8"), {"sauce": "auto"})


def test_installed_driver_is_compared_with_its_plan() -> None:
    """The filter takes the branch, the flavour and the fabric manager from the plan."""
    plan = FILTERS["driver_plan"](host("1eb8"), {"source": "distro"})
    assert FILTERS["driver_problems"](host("1eb8", **INSTALLED), plan) == []
    other = FILTERS["driver_plan"](host("1eb8"), {"source": "distro", "flavour": "open"})
    assert FILTERS["driver_problems"](host("1eb8", **INSTALLED), other) == [
        "the module is the proprietary one, and the open one was planned"
    ]
