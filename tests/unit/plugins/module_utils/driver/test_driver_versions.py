# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of a driver's packages."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.driver.versions import choose_version, transaction

VENDOR = "https://vendor.example/repos"
VERSIONS = [
    ("580.105.08-1", [f"{VENDOR}/debian12/x86_64/x.deb"]),
    ("580.95.05-1", [f"{VENDOR}/debian12/x86_64/y.deb"]),
    ("535.309.01-0+deb12u1", ["http://security.example/z.deb"]),
    ("535.261.03-1", ["http://mirror.example/z.deb"]),
    ("535.183.01-1", []),
]


@pytest.mark.parametrize(
    ("settings", "version"),
    [
        ({"branch": 580, "from_repository": True}, "580.105.08-1"),
        ({"branch": 580, "from_repository": True, "version": "580.95.05"}, "580.95.05-1"),
        ({"branch": 580, "from_repository": True, "version": "580.9"}, ""),
        ({"branch": 580, "from_repository": False}, ""),
        ({"branch": 535, "from_repository": False}, "535.309.01-0+deb12u1"),
        ({"branch": 535, "from_repository": False, "version": "535.261.03-1"}, "535.261.03-1"),
        ({"branch": 535, "from_repository": True}, ""),
        ({"branch": 535, "from_repository": False, "version": "535.183.01"}, "535.183.01-1"),
    ],
)
def test_newest_version_of_the_branch_is_picked_from_the_source(settings: dict[str, Any], version: str) -> None:
    """Never from another source, never another branch."""
    chosen, others = choose_version(VERSIONS, {"version": "", "repository": VENDOR, **settings})
    assert chosen == version
    assert len(others) == len(VERSIONS) - bool(version)


def test_whole_driver_changes_its_version_and_nothing_else_does() -> None:
    """Apt leaves installed libraries at the old version unless they are named with the new one."""
    known = {
        "nvidia-kernel-dkms": ["580.126.09-1", "580.95.05-1"],
        "nvidia-kernel-open-dkms": ["580.126.09-1", "580.95.05-1"],
        "libcuda1": ["580.126.09-1", "580.95.05-1"],
        "nvidia-modprobe": ["570.133.07-1"],
        "nvidia-smi": ["580.126.09-2", "580.95.05-1"],
    }
    installed = dict.fromkeys(("libcuda1", "nvidia-kernel-dkms", "nvidia-smi"), "580.95.05-1")
    packages = ["nvidia-kernel-open-dkms", "libcuda1", "nvidia-modprobe"]
    result = transaction(packages, "580.126.09-1", known, installed, ["nvidia-kernel-dkms"])
    assert result == [
        "nvidia-kernel-open-dkms=580.126.09-1",
        "libcuda1=580.126.09-1",
        "nvidia-modprobe",
        "nvidia-smi=580.126.09-2",
    ]
    assert transaction(["libcuda1"], "580.95.05-1", known, installed, ["nvidia-smi"]) == [
        "libcuda1",
    ]
