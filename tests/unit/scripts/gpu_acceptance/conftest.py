# SPDX-License-Identifier: GPL-3.0-or-later
"""Mocks of the driver's libraries, and contexts of a run as the checks get them."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.gpu_acceptance import nvml, running
from scripts.gpu_acceptance.context import Context
from scripts.gpu_acceptance.gpus import Gpu, Reading
from tests.support.nvml import build

COMPILER = pytest.mark.skipif(not shutil.which("gcc"), reason="the mocks of the driver's libraries need gcc")


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of the mocks of NVML and of the CUDA driver's library, which every user may read."""
    if not shutil.which("gcc"):
        pytest.skip("the mocks of the driver's libraries need gcc")
    directory = tmp_path_factory.mktemp("mocks")
    build.build(None, directory)
    argv = ["gcc", "-shared", "-fPIC", "-Wall", "-o", str(directory / "libcuda.so.1")]
    subprocess.run([*argv, str(build.SOURCE.parent / "cuda_mock.c")], check=True, timeout=120)
    for path in (directory, *directory.parents):
        if path.owner() == directory.owner() and path.is_relative_to(tmp_path_factory.getbasetemp().parent):
            path.chmod(0o755)
    return directory


@pytest.fixture
def mocks(libraries: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let this process and the programs that it starts load the mocks."""
    monkeypatch.setattr(nvml, "LIBRARY", str(libraries / "libnvidia-ml.so.1"))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(libraries))
    return libraries


def gpu(index: int = 0, **facts: Any) -> Gpu:
    """Return a healthy GPU, with other facts where given."""
    values: dict[str, Any] = {
        "name": "NVIDIA Test",
        "bus_id": f"0000:0{index}:00.0",
        "memory_bytes": 4 * 2**30,
        "compute_capability": "8.0",
        "mig": False,
        "ecc": True,
        "ecc_uncorrected": 0,
        "throttle": ["idle"],
        "pcie_width": 16,
        "pcie_width_max": 16,
        "pcie_generation": 1,
        "pcie_generation_max": 4,
    }
    return Gpu(index, **{**values, **facts})


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., Context]:
    """Return a function that makes the context of a run on a host with one GPU that answers."""

    def make(**values: Any) -> Context:
        scratch = tmp_path / "scratch"
        if not scratch.exists():
            shutil.copytree(running.PROGRAMS, scratch / "programs")
            for path in (scratch, scratch / "programs", *(scratch / "programs").iterdir()):
                path.chmod(0o755)
        reading = values.pop("reading", Reading("NVML", "580.95.05", "13.0", [gpu()]))
        return Context(values.pop("deadline", time.monotonic() + 100), scratch, reading=reading, **values)

    return make
