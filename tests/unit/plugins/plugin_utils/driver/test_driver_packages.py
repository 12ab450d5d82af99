# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the packages that belong to a driver."""

from __future__ import annotations

import fnmatch

import pytest

from ansible_collections.gpulab.core.plugins.plugin_utils.driver.packages import DRIVER_GLOBS, DRIVER_NAMES


@pytest.mark.parametrize(
    "name",
    [
        "nvidia-container-toolkit",
        "nvidia-cuda-toolkit",
        "cuda-toolkit-13-0",
        "nvidia-openjdk-8-jre",
        "firmware-nvidia-graphics",
    ],
)
def test_other_packages_of_nvidia_are_not_pinned(name: str) -> None:
    """The container toolkit and CUDA are not part of a driver."""
    assert name not in DRIVER_NAMES
    assert not any(fnmatch.fnmatch(name, pattern) for pattern in DRIVER_GLOBS)
