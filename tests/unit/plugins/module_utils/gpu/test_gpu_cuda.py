"""Drivers of CUDA versions."""

from __future__ import annotations

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.gpu.cuda import driver_supports_cuda


@pytest.mark.parametrize(
    ("driver", "cuda", "supported"),
    [
        ("580.95.05", "13.0", True),
        ("575.51.03", "13.0", False),
        ("535.183.01", "12.8", True),
        ("470.256.02", "12.0", False),
    ],
)
def test_driver_supports_cuda(driver: str, cuda: str, supported: bool) -> None:
    """By the floor of the CUDA major version."""
    assert driver_supports_cuda(driver, cuda) is supported
