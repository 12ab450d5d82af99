# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages with kernel headers."""

from __future__ import annotations

import pytest

from ansible_collections.gpulab.core.plugins.plugin_utils.driver.headers import kernel_flavour
from tests.unit.plugins.plugin_utils.driver.driver_hosts import plan


def test_headers_are_planned_for_every_kernel_and_the_next() -> None:
    """Those of the boot kernel are required; the metapackage brings those of the next kernel."""
    kernels = [
        {"release": release, "installed": True, "headers": False}
        for release in ("6.1.0-47-cloud-amd64", "6.1.0-50-amd64", "6.1.0-56-amd64")
    ]
    result = plan("1eb8", kernels=kernels, boot_kernel="6.1.0-56-amd64").headers
    assert result["required"] == ["linux-headers-amd64", "linux-headers-cloud-amd64", "linux-headers-6.1.0-56-amd64"]
    assert result["optional"] == ["linux-headers-6.1.0-47-cloud-amd64", "linux-headers-6.1.0-50-amd64"]
    assert plan("1eb8", system="24.04").headers == {"required": [], "optional": []}


@pytest.mark.parametrize(
    ("release", "flavour"),
    [
        ("6.1.0-56-cloud-amd64", "cloud-amd64"),
        ("6.12.117+deb13-amd64", "amd64"),
        ("6.8.0-1024-gcp", "gcp"),
        ("6.18.44-fc-v657", "fc-v657"),
        ("x", ""),
    ],
)
def test_kernel_flavour_is_read_from_its_release(release: str, flavour: str) -> None:
    """It is the last part, on Debian and on Ubuntu."""
    assert kernel_flavour(release) == flavour
