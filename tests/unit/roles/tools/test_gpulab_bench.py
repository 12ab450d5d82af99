"""What `gpulab bench` says about what it measured, and what `gpulab rollback` does with releases."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from gpulab_cli import bench, releases
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
    """One line for each framework; without a GPU the processor's side alone."""
    assert bench.is_slow(result) == slow
    assert words in bench.line(result)
    assert ("gpulab doctor" in bench.closing([result], ["T4"])) == slow


def test_host_without_a_gpu_says_so() -> None:
    """Nobody takes the processor's seconds for the GPU's."""
    assert "There is no GPU on this host" in bench.closing([Result("torch", "ml", 1.0, None)], [])


def program(path: Path, text: str) -> list[str]:
    """Write a program that a measurement runs."""
    path.write_text(text)
    return [sys.executable, str(path)]


def test_processor_is_measured_with_the_gpu_hidden(tmp_path: Path) -> None:
    """TensorFlow and PyTorch would take the GPU by themselves."""
    code = "import json, os, sys; print(json.dumps({'seconds': float(os.environ['CUDA_VISIBLE_DEVICES'])}))"
    found = bench.measure("torch", "ml", program(tmp_path / "x.py", code), gpu=False)
    assert (found.cpu_seconds, found.gpu_seconds) == (-1.0, None)


def test_program_that_fails_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """No traceback, no number that was not measured."""
    found = bench.measure("torch", "ml", program(tmp_path / "x.py", "raise SystemExit('no CUDA')"), gpu=True)
    assert found.error == "on the cpu: no CUDA"
    assert found.ratio is None


def test_frameworks_are_found_in_the_environments(tmp_path: Path) -> None:
    """An environment is measured with what it holds."""
    site = tmp_path / "lib" / "python3.11" / "site-packages" / "tensorflow_cpu-2.21.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorflow_cpu\nVersion: 2.21.0\n")
    found = bench.programs(["torch", "tensorflow"], [Environment("ml", tmp_path / "bin" / "python")])
    assert [(framework, name) for framework, name, _ in found] == [("tensorflow", "ml")]
    assert all(Path(argv[1]).is_file() for _, _, argv in found)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make an environment with three releases, the newest in use, and a fourth that was never finished."""
    for number, name in enumerate(["one", "two", "three", "half"]):
        directory = tmp_path / "releases" / name
        directory.mkdir(parents=True)
        if name != "half":
            (directory / releases.MARKER).write_text(json.dumps({"versions": {"torch": str(number)}}))
    for name, when in (("one", 1_700_000_000), ("two", 1_700_000_100)):
        (tmp_path / "releases" / name / releases.REPLACED).touch()
        os.utime(tmp_path / "releases" / name / releases.REPLACED, (when, when))
    (tmp_path / "current").symlink_to("releases/three")
    return tmp_path


def test_rollback_goes_to_the_release_before_and_back(root: Path) -> None:
    """Twice is where one started; an unfinished release is never taken."""
    assert [path.name for path in releases.finished(root)] == ["three", "two", "one"]
    assert releases.roll_back(root, None) == root / "releases" / "two"
    assert (root / "current").resolve() == root / "releases" / "two"
    assert releases.roll_back(root, None) == root / "releases" / "three"
    assert releases.roll_back(root, "one") == root / "releases" / "one"
    assert releases.roll_back(root, "half") is None
    assert (root / "current").resolve() == root / "releases" / "one"
