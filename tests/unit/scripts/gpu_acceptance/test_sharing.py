# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts about several processes on one GPU, and about parked ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.gpu_acceptance import parking, sharing
from scripts.gpu_acceptance.context import Context, Environment
from scripts.gpu_acceptance.gpus import Reading
from scripts.gpu_acceptance.report import FAILED, NOT_SUPPORTED, PASSED, SKIPPED
from scripts.gpu_acceptance.running import SkippedError, StepError

GIB = 2**30


@pytest.mark.parametrize(
    ("listed", "status"),
    [
        ({1: GIB + 1, 2: 2 * GIB}, PASSED),
        ({1: GIB, 2: GIB}, FAILED),
        ({1: GIB}, NOT_SUPPORTED),
        ({1: GIB, 2: None}, NOT_SUPPORTED),
    ],
)
def test_memory_by_process(listed: dict[int, int | None], status: str) -> None:
    """NVML lists both holders with at least what they hold."""
    assert sharing.memory_verdict({1: 1.0, 2: 2.0}, listed, 2)["status"] == status


@pytest.mark.parametrize(
    ("got", "stopped", "status", "words"),
    [
        (1.75, True, PASSED, "stops at 1.8 GiB"),
        (3.0, False, FAILED, "in spite of VARIABLE, which allows 2.0"),
        (2.5, True, FAILED, "in spite of"),
        (0.5, True, FAILED, "is the GPU in use?"),
    ],
)
def test_limit_of_memory(got: float, stopped: bool, status: str, words: str) -> None:
    """A framework stops at its limit, neither above nor far below."""
    verdict = sharing.cap_verdict("PyTorch", "VARIABLE", {"got": got, "stopped": stopped}, 2.0, 2)
    assert (verdict["name"], verdict["status"]) == ("sharing.memory_limit.torch", status)
    assert words in verdict["reason"]


def stand_in(path: Path, output: str) -> Environment:
    """Return an environment whose interpreter prints a text, whatever it is to run."""
    path.write_text(f"#!/bin/sh\n{output}\n", encoding="utf-8")
    path.chmod(0o755)
    return Environment("own", str(path), {"torch": "2.13.0", "jax": "0.10"})


def test_limits_reach_the_framework_by_its_variable(context: Callable[..., Context], tmp_path: Path) -> None:
    """An eighth of the 4 GiB; an old version that does not know the setting is not supported."""
    own = stand_in(
        tmp_path / "python", 'echo "$PYTORCH_CUDA_ALLOC_CONF" >&2; echo "{\\"got\\": 0.5, \\"stopped\\": true}"'
    )
    (verdict,) = sharing.cap("torch", context(environments=[own]))
    assert verdict["status"] == PASSED
    old = stand_in(tmp_path / "python", "echo 'RuntimeError: Unrecognized CachingAllocator option' >&2; exit 1")
    (verdict,) = sharing.cap("torch", context(environments=[old]))
    assert verdict["status"] == NOT_SUPPORTED
    assert "does not know the setting PYTORCH_CUDA_ALLOC_CONF=per_process_memory_fraction:0.125" in verdict["reason"]
    with pytest.raises(SkippedError, match="TensorFlow is not installed"):
        sharing.cap("tensorflow", context(environments=[old]))


def test_framework_that_does_not_compute_is_measured_no_further(
    context: Callable[..., Context], tmp_path: Path
) -> None:
    """The failed check is named; another environment's framework is used instead."""
    broken, good = (Environment(name, "python", {"torch": "2"}) for name in ("broken", "good"))
    failed = {("torch", "broken"): "compute.torch@broken"}
    with pytest.raises(SkippedError, match=r"PyTorch does not compute on the GPU: compute\.torch@broken"):
        sharing.time_slicing(context(environments=[broken], broken=failed))
    both = context(environments=[broken, good], broken=failed)
    assert both.with_framework("PyTorch", "torch") is good
    with pytest.raises(SkippedError, match="the host has no NVIDIA GPU"):
        context(environments=[good], reading=Reading("NVML")).with_framework("PyTorch", "torch")


LOAD = """echo '{"ready": true}'; read line; echo '{"per_second": RATE}'"""


def test_processes_run_at_the_same_time(context: Callable[..., Context], tmp_path: Path) -> None:
    """The stand-in has the same rate alone and with others: four times as much together."""
    own = stand_in(tmp_path / "python", LOAD.replace("RATE", "10"))
    (verdict,) = sharing.time_slicing(context(environments=[own]))
    assert verdict["status"] == PASSED
    assert [each["value"] for each in verdict["figures"]] == [10, 40, 4]
    assert "25%, 25%, 25%, 25%" in verdict["reason"]


@pytest.fixture
def host(mocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the root of a host with free memory and one GPU of the mock."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemAvailable:   67108864 kB\n")
    (tmp_path / "nvidia0").touch()
    monkeypatch.setenv("GPULAB_MOCK_DEV", str(tmp_path))
    return tmp_path


def test_parked_process_goes_on_with_its_data(
    context: Callable[..., Context], host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All calls in their order; what the process gave up is read from NVML."""
    used = iter([5.0, 4.7])
    monkeypatch.setattr(parking, "used_gib", lambda: next(used))
    (verdict,) = parking.park(context(root=host, park_gib=0.25))
    assert verdict["status"] == PASSED, verdict["reason"]
    assert [each["unit"] for each in verdict["figures"]][:3] == ["GiB", "s/GiB", "s/GiB"]


def test_frameworks_are_parked_like_a_plain_process(
    context: Callable[..., Context], host: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The stand-in for PyTorch's interpreter holds the memory by the mock; JAX is not installed."""
    used = iter([5.0, 2.9])
    monkeypatch.setattr(parking, "used_gib", lambda: next(used))
    own = stand_in(tmp_path / "python", 'exec python3 "${1%/*}/cuda_devices.py" hold 0.1')
    python = Environment("own", own.python, {"torch": "2.13.0"})
    (verdict,) = parking.park_framework("torch", context(root=host, environments=[python]))
    assert (verdict["name"], verdict["status"]) == ("sharing.park.torch", PASSED), verdict["reason"]
    assert verdict["figures"][0]["value"] == parking.FRAMEWORK_GIB
    with pytest.raises(SkippedError, match="JAX is not installed"):
        parking.park_framework("jax", context(root=host, environments=[python]))


def test_process_that_keeps_its_memory_is_not_parked(context: Callable[..., Context], host: Path) -> None:
    """NVML's mock always reports the same memory in use."""
    (verdict,) = parking.park(context(root=host, park_gib=0.25))
    assert (verdict["status"], verdict["reason"]) == (FAILED, "the parked process did not give up its GPU memory")


def test_driver_that_cannot_park_says_so(
    context: Callable[..., Context], host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is a result; another error is a failure."""
    monkeypatch.setenv("GPULAB_MOCK_CHECKPOINT", "801")
    (verdict,) = parking.park(context(root=host, park_gib=0.25))
    assert (verdict["status"], verdict["reason"]) == (NOT_SUPPORTED, "not supported here: CUDA_ERROR_NOT_SUPPORTED")
    monkeypatch.setenv("GPULAB_MOCK_CHECKPOINT", "401")
    with pytest.raises(StepError, match=r"lock of a process failed by libcuda: CUDA_ERROR_MOCK \(401\)"):
        parking.park(context(root=host, park_gib=0.25))


def test_host_without_room_is_left_alone(context: Callable[..., Context], host: Path) -> None:
    """Parking needs the host's memory."""
    (host / "proc/meminfo").write_text("MemAvailable:   1048576 kB\n")
    (verdict,) = parking.park(context(root=host))
    assert verdict["status"] == SKIPPED
    assert "has 1.0 GiB of free memory, and parking 3 GiB needs 5" in verdict["reason"]
    assert parking.free_memory_gib("") == 0


def test_holders_are_looked_up_in_nvml(
    context: Callable[..., Context], host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mock knows neither of them."""
    monkeypatch.setenv("GPULAB_MOCK_HOLDER", str(os.getpid()))
    monkeypatch.setattr(sharing, "HELD_GIB", ("0.1", "0.2"))
    (verdict,) = sharing.processes(context(root=host))
    assert verdict["status"] == NOT_SUPPORTED
    assert "2 processes hold memory, and NVML lists 0 of them" in verdict["reason"]
