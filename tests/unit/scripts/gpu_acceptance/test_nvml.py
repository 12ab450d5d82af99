# SPDX-License-Identifier: GPL-3.0-or-later
"""NVML is read by ctypes; the mock of the driver's library gives each fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.gpu_acceptance import hardware, nvml
from scripts.gpu_acceptance.report import FAILED, MOCK, PASSED


def test_gpus_are_read_with_all_their_facts(mocks: Path) -> None:
    """Names, memory, links and what lies between them; the mock is recognised."""
    reading = nvml.read()
    assert (reading.error, reading.driver, reading.cuda) == ("", "535.309.01", "12.2")
    assert [gpu.name for gpu in reading.gpus] == ["NVIDIA A100 (MOCK)"] * 2
    first = reading.gpus[0]
    assert (first.memory_bytes, first.compute_capability, first.bus_id) == (40 * 2**30, "8.0", "00000000:01:00.0")
    assert (first.mig, first.ecc, first.ecc_uncorrected) == (False, True, 0)
    assert (first.pcie_width, first.pcie_width_max, first.pcie_generation, first.pcie_generation_max) == (16, 16, 1, 4)
    assert (first.nvlinks, first.nvlinks_active, first.throttle, first.temperature) == (12, 12, ["idle"], 40)
    assert [(pair.first, pair.second, pair.between, pair.peer) for pair in reading.pairs] == [
        (0, 1, "one PCIe host bridge", True)
    ]
    assert reading.mock


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("9", "kernel module is not loaded"),
        ("18", "libraries and its loaded kernel module have different versions"),
        ("4", "may not open the device nodes"),
        ("999", "unknown error"),
        ("77", "error 77 of nvmlInit_v2"),
    ],
)
def test_library_that_does_not_start_says_why(
    mocks: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    """No driver, another version, no permission: each in words, and it is a failure."""
    monkeypatch.setenv("GPULAB_MOCK_INIT", code)
    reading = nvml.read()
    assert words in reading.error
    first, *rest = hardware.checks(reading, 2)
    assert (first["status"], first["reason"]) == (FAILED, reading.error)
    assert {each["status"] for each in rest} == {"skipped"}


def test_missing_library_is_named() -> None:
    """A host without a driver's libraries."""
    assert "libnvidia-ml.so.1 is missing" in nvml.read("/nowhere/libnvidia-ml.so.1").error


def test_lost_gpu_is_named_and_the_others_are_read(mocks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that has fallen off the bus does not hide the rest."""
    monkeypatch.setenv("GPULAB_MOCK_LOST", "0")
    reading = nvml.read()
    assert "fallen off the bus" in reading.gpus[0].error
    assert (reading.gpus[1].error, reading.gpus[1].name) == ("", "NVIDIA A100 (MOCK)")
    assert reading.pairs == []
    listed = hardware.checks(reading, MOCK)[0]
    assert listed["status"] == FAILED
    assert "GPU 0: the GPU is lost" in listed["reason"]
    assert "GPU 1: NVIDIA A100 (MOCK)" in listed["reason"]


@pytest.mark.parametrize(
    ("variable", "value", "name", "words"),
    [
        ("GPULAB_MOCK_WIDTH", "8", "hardware.pcie", "uses 8 of 16 PCIe lanes"),
        ("GPULAB_MOCK_THROTTLE", "0x48", "hardware.throttle", "hardware slowdown, temperature, by hardware"),
        ("GPULAB_MOCK_ECC", "3", "hardware.ecc", "3 uncorrected memory errors"),
        ("GPULAB_MOCK_NVLINKS", "10", "hardware.nvlink", "10 of 12"),
    ],
)
def test_fault_of_the_hardware_is_named(
    mocks: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, name: str, words: str
) -> None:
    """The same check passes without the fault."""
    healthy = {each["name"]: each["status"] for each in hardware.checks(nvml.read(), MOCK)}
    assert healthy[name] == PASSED
    monkeypatch.setenv(variable, value)
    faulty = {each["name"]: each for each in hardware.checks(nvml.read(), MOCK)}
    assert faulty[name]["status"] == FAILED
    assert words in faulty[name]["reason"]


def test_functions_that_a_driver_lacks_are_no_fault(mocks: Path) -> None:
    """An old driver does not have them all."""
    with nvml.Nvml() as library:
        assert library.number(library.handle(0), "nvmlDeviceGetOfTomorrow") is None
        with pytest.raises(nvml.NvmlError) as caught:
            library.call(("nvmlDeviceGetOfTomorrow",))
    assert caught.value.code == 13


def test_processes_have_their_memory(mocks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By process id, in bytes."""
    monkeypatch.setenv("GPULAB_MOCK_HOLDER", "4711")
    with nvml.Nvml() as library:
        assert library.processes(0) == {4711: 3 * 2**30}
        assert library.processes(1) == {}
        assert library.used_gib(0) == 1.0
