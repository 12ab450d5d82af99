# SPDX-License-Identifier: GPL-3.0-or-later
"""Reasons to restart a host for its driver."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.gpu.reboot import reboot_reasons
from tests.unit.plugins.plugin_utils.driver.driver_hosts import INSTALLED, KERNEL, host


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "installed and could not be loaded"),
        ({"driver_version": "535.309.01"}, ""),
        ({"driver_version": "535.261.03"}, "535.261.03 is loaded and 535.309.01 is installed"),
        ({"nouveau_loaded": True}, "nouveau is loaded"),
        ({"running_kernel": "6.1.0-47-amd64"}, "the module is for kernel 6.1.0-56-amd64"),
        ({"container": "podman"}, ""),
        ({"gpus": [{"address": "expected", "device_id": "1eb8", "model": "T4"}]}, ""),
        ({"secure_boot": "enabled"}, ""),
        ({"secure_boot": "enabled", "driver_version": "535.261.03"}, "535.261.03 is loaded"),
        ({"modules": {KERNEL: []}}, ""),
    ],
)
def test_restart_has_its_reason(facts: dict[str, Any], words: str) -> None:
    """There is none in a container, nor after a build that failed."""
    result = reboot_reasons(host("1eb8", **{**INSTALLED, **facts}))
    assert bool(result) is bool(words)
    assert not words or words in result[0]
