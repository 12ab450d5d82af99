# SPDX-License-Identifier: GPL-3.0-or-later
"""Toolkits and cuDNN that GPUs or driver of a host do not support, from recorded files. Part of `make nightly`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cuda import CudaHost
from tests.unit.plugins.modules.recorded_gpu_hosts import OPEN_580, PROPRIETARY_535, pci
from tests.unit.plugins.plugin_utils.driver.driver_hosts import FAMILY

CASES: list[tuple[str, str, dict[str, Any], list[str]]] = [
    ("T4", PROPRIETARY_535, {"cuda_versions": ["13.0"]}, ["CUDA 13.0 needs driver 580 or newer, and the host has 535"]),
    ("V100", OPEN_580, {"cuda_versions": ["13.0"]}, ["CUDA 13.0 does not compile for V100", "12.8 or 12.9"]),
    ("B200", OPEN_580, {"cuda_versions": ["12.6"]}, ["CUDA 12.6 does not compile for B200", "to 12.8 or 12.9"]),
    (
        "V100",
        OPEN_580,
        {"cudnn_enabled": True, "cudnn_version": "9.28", "cudnn_cuda_versions": ["12.9"]},
        ["cuDNN 9.28 does not support V100 (compute capability 7.0)", "The last that can is 9.10"],
    ),
]
"""A GPU, its driver, options, and words of the message."""


@pytest.mark.parametrize(("gpu", "driver", "options", "words"), CASES, ids=["driver", "old GPU", "new GPU", "cuDNN"])
def test_combination_that_cannot_work_is_rejected(
    lab: CudaHost, gpu: str, driver: str, options: dict[str, Any], words: list[str]
) -> None:
    """Before anything is changed, with the versions that can."""
    lab.shell("rm -rf /srv/gpus")
    for path, text in {**pci(1, FAMILY[gpu]), "proc/driver/nvidia/version": driver}.items():
        lab.within(
            "sh", "-c", f"mkdir -p $(dirname /srv/gpus/{path}) && printf '%s\\n' '{text.strip()}' >/srv/gpus/{path}"
        )
    outcome = lab.play("tests/integration/cuda/gpus.yml", **{"cuda_versions": [], **options})
    lab.shell("rm -rf /srv/gpus")
    assert (outcome.code != 0, outcome.changed) == (True, 0), outcome.output[-3000:]
    for word in words:
        assert word in outcome.text, outcome.output[-3000:]
