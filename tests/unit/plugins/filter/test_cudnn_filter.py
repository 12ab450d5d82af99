# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter of the role cudnn, as templates use it."""

from __future__ import annotations

from pathlib import Path

import yaml

from ansible_collections.gpulab.core.plugins.filter import cudnn
from tests.unit.plugins.plugin_utils.driver.driver_hosts import host

FILTERS = cudnn.FilterModule().filters()


def test_plan_is_a_dictionary_of_lists() -> None:
    """A version may be a number in the inventory, and the path may end with a slash."""
    plan = FILTERS["cudnn_plan"](host("1eb8"), [13.0], 9.28, path="/srv/cudnn/")
    assert plan["libraries"][0]["root"].startswith("/srv/cudnn/9.28-cuda13/current/")
    assert plan["free_gb"] == {"/srv/cudnn": 2.5, "/var/cache/gpulab": 2.5}


def test_filter_is_documented_with_its_options() -> None:
    """In a file of its name."""
    text = Path(cudnn.__file__).with_name("cudnn_plan.yml").read_text(encoding="utf-8")
    documentation = yaml.safe_load(text)["DOCUMENTATION"]
    assert documentation["positional"].split(", ") == [name for name in documentation["options"] if name != "_input"]
    plan = FILTERS["cudnn_plan"](host(), ["12.8"])
    contents = yaml.safe_load(text)["RETURN"]["_value"]["contains"]
    assert set(contents) == set(plan)
    assert set(contents["libraries"]["contains"]) == set(plan["libraries"][0])
