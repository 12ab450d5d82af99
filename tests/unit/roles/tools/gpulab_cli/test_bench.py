# SPDX-License-Identifier: GPL-3.0-or-later
"""Measurements of `gpulab bench` and their report."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from gpulab_cli import bench
from gpulab_cli.bench import Result
from gpulab_cli.paths import Environment


@pytest.mark.parametrize(
    ("result", "slow", "words"),
    [
        (Result("torch", "ml", 30.0, 2.0), False, "15.0 times faster"),
        (Result("torch", "ml", 3.0, 2.0), True, "1.5 times faster"),
        (Result("torch", "ml", 30.0, None), False, "CPU   30.000 s\n"),
        (Result("r", "R", None, None, "on the cpu: no R"), False, "failed on the cpu: no R"),
    ],
)
def test_ratio_below_two_is_a_warning(result: Result, slow: bool, words: str) -> None:
    """One line for each framework; without a GPU only the processor's time."""
    assert bench.is_slow(result) == slow
    assert words in bench.line(result)
    assert ("gpulab doctor" in bench.summary([result], ["T4"])) == slow


def test_report_of_a_host_without_a_gpu_says_so() -> None:
    """The processor's seconds are not mistaken for the GPU's."""
    assert "This host has no GPU" in bench.summary([Result("torch", "ml", 1.0, None)], [])


def program(path: Path, text: str) -> list[str]:
    """Write a program for a measurement and return its command."""
    path.write_text(text)
    return [sys.executable, str(path)]


def test_processor_is_measured_with_the_gpu_hidden(tmp_path: Path) -> None:
    """TensorFlow and PyTorch would use the GPU by default."""
    code = "import json, os, sys; print(json.dumps({'seconds': float(os.environ['CUDA_VISIBLE_DEVICES'])}))"
    result = bench.measure("torch", "ml", program(tmp_path / "x.py", code), gpu=False)
    assert (result.cpu_seconds, result.gpu_seconds) == (-1.0, None)


def test_program_that_fails_is_reported_with_its_last_line(tmp_path: Path) -> None:
    """No traceback, and no number without a measurement."""
    result = bench.measure("torch", "ml", program(tmp_path / "x.py", "raise SystemExit('no CUDA')"), gpu=True)
    assert result.error == "on the cpu: no CUDA"
    assert result.ratio is None


def test_programs_are_those_of_the_installed_frameworks(tmp_path: Path) -> None:
    """Other frameworks are not measured in an environment."""
    site = tmp_path / "lib" / "python3.11" / "site-packages" / "tensorflow_cpu-2.21.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorflow_cpu\nVersion: 2.21.0\n")
    programs = bench.programs(["torch", "tensorflow"], [Environment("ml", tmp_path / "bin" / "python")])
    assert [(framework, name) for framework, name, _argv in programs] == [("tensorflow", "ml")]
    assert all(Path(argv[1]).is_file() for _framework, _name, argv in programs)


def test_program_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report names the time limit."""
    monkeypatch.setattr(bench, "SECONDS", 0.2)
    result = bench.measure("torch", "ml", program(tmp_path / "x.py", "import time; time.sleep(30)"), gpu=False)
    assert "was stopped" in result.error
