# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of an installed driver with its plan."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import HostFacts
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.verification import driver_problems
from tests.unit.plugins.plugin_utils.driver.driver_hosts import INSTALLED, KERNEL, MODULE, host


def problems(facts: HostFacts, fabric_manager: str = "") -> list[str]:
    """Return the problems of a host for which R535 with the proprietary module was planned."""
    return driver_problems(facts, branch=535, flavour="proprietary", fabric_manager=fabric_manager)


def test_whole_driver_has_no_problems() -> None:
    """Module, libraries and plan agree."""
    assert problems(host("1eb8", **INSTALLED)) == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"modules": {KERNEL: []}}, "no NVIDIA module was built for kernel 6.1.0-56-amd64"),
        ({"userland_version": ""}, "no driver libraries"),
        ({"userland_version": "535.261.03"}, "the module is 535.309.01 and the libraries are 535.261.03"),
        ({"modules": {KERNEL: [{**MODULE, "version": "580.95.05"}]}}, "R535 was planned"),
        ({"modules": {KERNEL: [{**MODULE, "flavour": "open"}]}}, "the module is the open one"),
        ({"secure_boot": "enabled", "modules": {KERNEL: [{**MODULE, "signer": ""}]}}, "is not signed"),
        ({"packages": {"nvidia-kernel-dkms": {"version": "1", "state": "half-configured"}}}, "half-configured"),
        ({"boot_kernel": "6.1.0-60-amd64"}, "no NVIDIA module was built for kernel 6.1.0-60-amd64"),
    ],
)
def test_every_defect_of_an_installation_is_reported(facts: dict[str, Any], words: str) -> None:
    """Independent of apt's exit code."""
    result = problems(host("1eb8", **{**INSTALLED, **facts}))
    assert any(words in problem for problem in result), result


def test_fabric_manager_must_have_the_drivers_version() -> None:
    """CUDA does not start otherwise."""
    result = problems(host("2330", **INSTALLED, fabric_manager_version="535.300.00"), "nvidia-fabricmanager-535")
    assert result == ["the fabric manager is 535.300.00 and the driver is 535.309.01"]


def test_failed_build_reports_the_errors_of_the_compiler() -> None:
    """The lines of the log with an error, not the last lines."""
    source = {
        "name": "nvidia-current-open",
        "version": "550.163.01",
        "built": [],
        "errors": ["nv-pci.c:237:9: error: too few"],
    }
    result = problems(host("26b9", dkms=[source], userland_version="550.163.01"))
    assert any("nv-pci.c:237:9: error: too few" in problem for problem in result)
