# SPDX-License-Identifier: GPL-3.0-or-later
"""Support of GPUs by drivers and CUDA versions."""

from __future__ import annotations

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.gpu import models
from tests.unit.plugins.plugin_utils.driver.driver_hosts import plan


@pytest.mark.parametrize("old", ["102d", "17fd", "1bb3", "15f8", "1db1"])
@pytest.mark.parametrize("new", ["2901", "2bb5", "2b85"])
def test_old_card_with_a_blackwell_has_no_driver(old: str, new: str) -> None:
    """The problem names both cards and the remedies."""
    result = plan(old, new)
    assert result.action == "none"
    assert len(result.problems) == 1
    assert "no driver supports" in result.problems[0]
    assert "remove one of them" in result.problems[0]
    assert models.by_pci_id(f"10de:{new}").name in result.problems[0]  # type: ignore[union-attr]


def test_kepler_with_a_hopper_has_no_driver() -> None:
    """The branches of the two cards do not overlap."""
    assert "no driver supports K80 (Kepler) and H100 (Hopper)" in plan("102d", "2330").problems[0]


@pytest.mark.parametrize(
    ("ids", "settings", "expected"),
    [
        (("102d",), {}, {"min": "", "max": "11.x"}),
        (("1db1",), {}, {"min": "", "max": "12.x"}),
        (("1eb8",), {}, {"min": "", "max": "13.x"}),
        (("1eb8",), {"source": "distro"}, {"min": "", "max": "12.x"}),
        (("2bb5",), {}, {"min": "12.8", "max": "13.x"}),
    ],
)
def test_cuda_range_is_bounded_by_driver_and_gpus(
    ids: tuple[str, ...], settings: dict[str, str], expected: dict[str, str]
) -> None:
    """The oldest GPU and the driver are the upper bound, the newest GPU is the lower one."""
    assert plan(*ids, settings=settings).cuda == expected
