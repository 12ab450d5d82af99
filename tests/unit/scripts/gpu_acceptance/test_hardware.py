# SPDX-License-Identifier: GPL-3.0-or-later
"""Each verdict about the hardware says in words what is wrong."""

from __future__ import annotations

from scripts.gpu_acceptance import hardware
from scripts.gpu_acceptance.gpus import Pair, Reading, throttle_words
from scripts.gpu_acceptance.report import FAILED, NOT_SUPPORTED, PASSED, SKIPPED
from tests.unit.scripts.gpu_acceptance.conftest import gpu


def test_without_a_gpu_everything_is_skipped_with_the_reason() -> None:
    """Never passed."""
    checks = hardware.checks(Reading("NVML"), 0, "the host has no NVIDIA GPU")
    assert [each["name"] for each in checks] == list(hardware.NAMES)
    assert {(each["status"], each["reason"]) for each in checks} == {(SKIPPED, "the host has no NVIDIA GPU")}


def test_healthy_gpu_passes() -> None:
    """What it does not have is not supported, or skipped."""
    checks = {each["name"]: each["status"] for each in hardware.checks(Reading("NVML", gpus=[gpu()]), 2)}
    assert checks.pop("hardware.nvlink") == NOT_SUPPORTED
    assert checks.pop("hardware.topology") == checks.pop("hardware.count") == SKIPPED
    assert set(checks.values()) == {PASSED}


def test_lower_generation_of_an_idle_card_is_no_fault() -> None:
    """It saves power; a narrow link stays narrow under load."""
    assert hardware.pcie([gpu(pcie_generation=1)], 2)["status"] == PASSED
    narrow = hardware.pcie([gpu(pcie_width=4), gpu(1)], 2)
    assert narrow["status"] == FAILED
    assert narrow["reason"].startswith("GPU 0 uses 4 of 16 PCIe lanes. ")
    assert narrow["figures"][0]["ratio"] == 0.25


def test_rows_that_cannot_be_remapped_need_another_card() -> None:
    """A pending remapping needs a restart only."""
    assert "must be replaced" in hardware.ecc([gpu(remap_failed=True, remap_pending=True)], 2)["reason"]
    assert "restart the host" in hardware.ecc([gpu(remap_pending=True)], 2)["reason"]
    assert hardware.ecc([gpu(ecc=None, ecc_uncorrected=None)], 2)["status"] == NOT_SUPPORTED
    assert "ECC is off for GPU 0" in hardware.ecc([gpu(ecc=False)], 2)["reason"]


def test_power_limit_is_no_fault() -> None:
    """Every card reaches it under load; heat and the host's power brake are faults."""
    assert hardware.throttle([gpu(throttle=["power limit"])], 2)["status"] == PASSED
    assert hardware.throttle([gpu(throttle=["power brake of the host"])], 2)["status"] == FAILED
    assert throttle_words(0x4 | 0x80 | 0x400) == ["power limit", "power brake of the host", "reason 0x400"]


def test_links_of_one_gpu_need_not_be_active() -> None:
    """A single card of a larger board, as in a virtual machine."""
    assert hardware.nvlink([gpu(nvlinks=18, nvlinks_active=0)], 2)["status"] == PASSED
    assert hardware.nvlink([gpu(nvlinks=18), gpu(1, nvlinks=18)], 2)["status"] == FAILED


def test_pairs_without_peer_access_have_the_reason() -> None:
    """As the driver gives it."""
    pairs = [Pair(0, 1, "across NUMA nodes", False, "chipset not supported"), Pair(0, 2, "same board", True)]
    reading = Reading("NVML", gpus=[gpu(0), gpu(1), gpu(2)], pairs=pairs)
    reason = hardware.topology(reading, 2)["reason"]
    assert "GPU 0 and 1: across NUMA nodes, no peer access (chipset not supported)" in reason
    assert "GPU 0 and 2: same board, peer access" in reason


def test_partitioned_gpus_are_named() -> None:
    """MIG is on for some of them."""
    assert hardware.partitions([gpu(), gpu(1, mig=True)], 2)["reason"] == "MIG is on for GPU 1"
    assert hardware.partitions([gpu(mig=None)], 2)["status"] == NOT_SUPPORTED


def test_gpus_of_the_facts_that_do_not_answer_are_counted() -> None:
    """Also when none does; more than expected are no fault."""
    lost = Reading("NVML", gpus=[gpu(), gpu(1, error="the GPU is lost")])
    counted = {each["name"]: each for each in hardware.checks(lost, 2, expected=2)}["hardware.count"]
    assert (counted["status"], "1 of 2 GPUs on the PCI bus answer" in counted["reason"]) == (FAILED, True)
    assert hardware.checks(lost, 2, expected=1)[1]["status"] == PASSED
    assert hardware.checks(Reading("NVML", error="no driver"), 2, expected=2)[1]["status"] == FAILED
