# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts about frameworks: builds for the wrong CUDA, CPU builds, wrong counts, wrong results."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.gpu_acceptance import compute, running
from scripts.gpu_acceptance.context import Context, Environment
from scripts.gpu_acceptance.gpus import Reading
from scripts.gpu_acceptance.report import FAILED, PASSED, REAL, SKIPPED
from tests.unit.scripts.gpu_acceptance.conftest import gpu


def answer(**changes: Any) -> dict[str, Any]:
    """Return what a framework's program prints on a host with one GPU where all is well."""
    device = {"name": "NVIDIA Test", "allocated": True, "matmul": 1e-6, "convolution": 2e-6}
    values = {"version": "2.13.0", "cuda": "13.0", "cudnn": 92600, "available": True, "count": 1}
    return {**values, "cpu": {"matmul": 1e-7, "convolution": 1e-7}, "devices": [device], **changes}


def broken(**changes: Any) -> list[dict[str, Any]]:
    """Return one device with changed results."""
    return [{**answer()["devices"][0], **changes}]


def test_framework_that_computes_on_every_gpu_passes(context: Callable[..., Context]) -> None:
    """With its versions and the accuracy of its results."""
    verdict = compute.on_gpus("PyTorch", answer(), "compute.torch", context())
    assert (verdict["status"], verdict["tier"]) == (PASSED, REAL)
    assert verdict["reason"] == "PyTorch 2.13.0 (CUDA 13.0, cuDNN 92600) computes on NVIDIA Test"
    assert [each["value"] for each in verdict["figures"]] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cuda": None, "count": 0, "devices": []}, "is a CPU build: it never uses a GPU. Install its CUDA build"),
        ({"cuda": "14.1"}, "is built for CUDA 14.1; the driver carries 13.0. Install a newer driver, or a build for"),
        ({"error": "CUDA error: no kernel image is available"}, "failed on the GPU: CUDA error: no kernel image"),
        ({"count": 0, "devices": []}, "sees 0 GPUs of 1"),
        ({"devices": broken(matmul=0.1)}, "on GPU 0: matmul is off by 1.0e-01"),
        ({"devices": broken(convolution=float("nan"))}, "convolution is off by nan"),
        ({"devices": broken(allocated=False)}, "on GPU 0: memory does not keep its content"),
    ],
)
def test_framework_that_does_not_is_named_with_the_reason(
    context: Callable[..., Context], changes: dict[str, Any], words: str
) -> None:
    """And what to do."""
    verdict = compute.on_gpus("PyTorch", answer(**changes), "compute.torch", context())
    assert verdict["status"] == FAILED
    assert words in verdict["reason"]


def test_older_build_runs_on_a_newer_driver(context: Callable[..., Context]) -> None:
    """A minor version above the driver's runs, too."""
    for cuda in ("12.6", "13.4"):
        assert compute.on_gpus("PyTorch", answer(cuda=cuda), "x", context())["status"] == PASSED


def test_mock_and_missing_gpu_never_pass(context: Callable[..., Context]) -> None:
    """The reason is in the report, even if a program claims to compute."""
    for reading, words in (
        (Reading("NVML", gpus=[gpu(name="NVIDIA A100 (MOCK)")]), "a mock, which computes nothing"),
        (Reading("NVML"), "the host has no NVIDIA GPU"),
        (Reading("NVML", gpus=[gpu(error="lost")]), "no GPU answers"),
    ):
        verdict = compute.on_gpus("PyTorch", answer(), "compute.torch", context(reading=reading))
        assert verdict["status"] == SKIPPED
        assert words in verdict["reason"]


def test_partitioned_gpu_gives_one_instance_to_a_process(context: Callable[..., Context]) -> None:
    """Not as many as there are GPUs."""
    reading = Reading("NVML", gpus=[gpu(mig=True), gpu(1, mig=True)], cuda="13.0")
    assert compute.on_gpus("PyTorch", answer(), "x", context(reading=reading))["status"] == PASSED


def test_framework_that_fails_is_remembered(context: Callable[..., Context], tmp_path: Path) -> None:
    """Until it computes on the GPU."""
    python = tmp_path / "python"
    own, run = Environment("own", str(python), {"torch": "2.13.0"}), context()
    for changes, broken in (({"count": 0, "devices": []}, True), ({}, False)):
        python.write_text(f"#!/bin/sh\necho '{json.dumps(answer(**changes))}'\n")
        python.chmod(0o755)
        compute.framework("torch", own, "compute.torch", run)
        assert (("torch", "own") in run.broken) is broken


def test_wrong_results_on_the_cpu_are_a_failure_without_a_gpu() -> None:
    """Tier 0."""
    verdict = compute.on_cpu("JAX", answer(cpu={"matmul": 0.5, "convolution": 0}), "compute.jax")
    assert (verdict["status"], verdict["tier"]) == (FAILED, 0)


def test_versions_are_compared_with_the_lock() -> None:
    """Missing packages, too; an environment without a lock is skipped."""
    locked = {"torch": "2.13.0", "numpy": "2.1.0"}
    same = compute.lock_verdict(Environment("ml", "python", {**locked, "more": "1"}, locked), 0)
    assert (same["name"], same["status"]) == ("versions.ml", PASSED)
    other = compute.lock_verdict(Environment("ml", "python", {"torch": "2.12.0"}, locked), 0)
    assert other["status"] == FAILED
    assert "torch is 2.12.0, and the lock has 2.13.0; numpy is missing, and the lock has 2.1.0" in other["reason"]
    assert compute.lock_verdict(Environment("own", "python", locked), 0)["status"] == SKIPPED


def test_environments_of_the_lab_are_found_with_their_lock(tmp_path: Path) -> None:
    """By their name; an interpreter that does not run is a failure of its own."""
    release = tmp_path / "ml" / "releases" / "1"
    (release / "bin").mkdir(parents=True)
    (release / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "ml" / "current").symlink_to("releases/1")
    broken_one = tmp_path / "old" / "current" / "bin" / "python"
    broken_one.parent.mkdir(parents=True)
    broken_one.write_text("#!/bin/sh\necho no such library >&2; exit 127\n")
    broken_one.chmod(0o755)
    found = {each.name: each for each in compute.environments([], tmp_path)}
    assert {"ml", "old"} < set(found)
    verdict = compute.lock_verdict(found["old"], 0)
    assert verdict["status"] == FAILED
    assert "no such library" in verdict["reason"]


def test_versions_program_reads_the_record_of_the_release(tmp_path: Path) -> None:
    """The record that the installer of environments writes last."""
    argv = [sys.executable, "-c", f"import sys; sys.prefix = {str(tmp_path)!r}; exec(open(sys.argv[1]).read())"]
    (tmp_path / ".gpulab-release.json").write_text(json.dumps({"versions": {"torch": "2.13.0"}, "digest": "1"}))
    read = running.result(running.run([*argv, str(running.PROGRAMS / "versions.py")], 60))
    assert read["locked"] == {"torch": "2.13.0"}
    assert read["installed"]["pytest"] == pytest.__version__


def test_same_framework_in_two_environments_has_two_names(context: Callable[..., Context]) -> None:
    """A framework that is there once has the short one."""
    both = [Environment("a", "python", {"torch": "1", "jax": "1"}), Environment("b", "python", {"torch": "2"})]
    names = [name for _, _, name in compute.frameworks(context(environments=both))]
    assert names == ["compute.torch@a", "compute.jax", "compute.torch@b"]


def test_every_gpu_keeps_its_content_through_the_driver(
    context: Callable[..., Context], mocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program's calls, with a mock of the CUDA driver's library; and its failures, in words."""
    monkeypatch.setenv("GPULAB_MOCK_DEV", str(tmp_path))
    (failed,) = compute.through_driver(context())
    assert failed["status"] == FAILED
    assert "cuInit: CUDA_ERROR_NO_DEVICE (100)" in failed["reason"]
    (tmp_path / "nvidia0").touch()
    (passed,) = compute.through_driver(context())
    assert (passed["status"], "GPU 0 (MOCK)" in passed["reason"]) == (PASSED, True)
    (tmp_path / "nvidia1").touch()
    (too_many,) = compute.through_driver(context())
    assert too_many["reason"] == "CUDA opens 2 GPUs, and 1 answer to NVML"


R_STAND_IN = """#!/bin/sh
[ "$1" = --no-save ] || exit 3
gpu='{"name": "GPU:0", "allocated": true, "matmul": 1e-15}'
case $CUDA_VISIBLE_DEVICES in -1) count=0 devices= ;; *) count=1 devices=$gpu ;; esac
printf '{"version": "2.20.0", "cuda": "", "available": true, "count": %s, "devices": [%s], ' $count "$devices"
echo '"cpu": {"matmul": 1e-15}, "r": "4.2.2"}'
"""


@pytest.fixture
def rscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that puts a stand-in for Rscript on the search path."""

    def put(text: str) -> None:
        path = tmp_path / "bin" / "Rscript"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")

    return put


def test_r_is_checked_on_the_cpu_and_the_gpu(context: Callable[..., Context], rscript: Callable[[str], None]) -> None:
    """With the versions of R and TensorFlow."""
    rscript(R_STAND_IN)
    on_cpu, on_gpu = compute.from_r(context())
    assert (on_cpu["status"], on_gpu["status"]) == (PASSED, PASSED)
    assert on_gpu["reason"].startswith("R 4.2.2 with TensorFlow 2.20.0 (CUDA not named) computes on GPU:0")
    assert compute.from_r(context(reading=Reading("NVML")))[1]["status"] == SKIPPED


def test_r_without_tensorflow_is_skipped(context: Callable[..., Context], rscript: Callable[[str], None]) -> None:
    """With R's own words."""
    rscript("#!/bin/sh\necho \"there is no package called 'reticulate'\" >&2; exit 1\n")
    (verdict,) = compute.from_r(context())
    assert verdict["status"] == SKIPPED
    assert "no package called 'reticulate'" in verdict["reason"]
