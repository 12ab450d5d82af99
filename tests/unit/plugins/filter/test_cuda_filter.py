# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter of the role cuda, as templates use it."""

from __future__ import annotations

from pathlib import Path

import yaml

from ansible_collections.gpulab.core.plugins.filter import cuda
from tests.unit.plugins.plugin_utils.driver.driver_hosts import host

FILTERS = cuda.FilterModule().filters()


def test_plan_is_a_dictionary_of_lists() -> None:
    """Templates add them; a version may be a number in the inventory, and the path may end with a slash."""
    plan = FILTERS["cuda_plan"](host("1eb8"), [13.0], path="/srv/cuda/")
    assert plan["toolkits"][0]["root"].startswith("/srv/cuda/13.0/current/")
    assert plan["packages"] + ["environment-modules"] == ["g++-12", "environment-modules"]
    assert plan["free_gb"] == {"/srv/cuda": 0.5, "/var/cache/gpulab": 0.5}


def test_filter_is_documented_with_its_options() -> None:
    """In a file of its name."""
    text = Path(cuda.__file__).with_name("cuda_plan.yml").read_text(encoding="utf-8")
    documentation = yaml.safe_load(text)["DOCUMENTATION"]
    assert documentation["positional"].split(", ") == [name for name in documentation["options"] if name != "_input"]
    plan = FILTERS["cuda_plan"](host(), ["12.8"])
    contents = yaml.safe_load(text)["RETURN"]["_value"]["contains"]
    assert set(contents) == set(plan)
    assert set(contents["toolkits"]["contains"]) == set(plan["toolkits"][0])
