# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that other packages require."""

from __future__ import annotations

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.driver.dependencies import required_by

REMOVE = ["nvidia-kernel-dkms", "dkms", "gcc", "gcc-12", "make", "libcuda1"]
INSTALLED: dict[str, list[list[str]]] = {
    "nvidia-kernel-dkms": [["dkms"], ["libcuda1"]],
    "dkms": [["gcc", "clang"], ["make"]],
    "gcc": [["gcc-12"]],
    "gcc-12": [],
    "make": [],
    "libcuda1": [],
    "clang": [],
    "bash": [[]],
}


@pytest.mark.parametrize(
    ("more", "stay"),
    [
        ({}, {}),
        ({"zfs-dkms": [["dkms"]]}, {"dkms": "zfs-dkms", "make": "dkms"}),
        ({"lab": [["gcc"], ["make", "ninja"]], "ninja": []}, {"gcc": "lab", "gcc-12": "gcc"}),
        ({"nvidia-cuda-toolkit": [["libcuda1"]]}, {"libcuda1": "nvidia-cuda-toolkit"}),
    ],
)
def test_packages_that_others_require_stay(more: dict[str, list[list[str]]], stay: dict[str, str]) -> None:
    """With their own dependencies; an alternative that another package fulfils keeps nothing."""
    assert required_by(REMOVE, {**INSTALLED, **more}) == stay
