"""A person logs in, starts a server and computes, in Python and in R."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cells
import pytest
from hub import Kernel, Person
from wishes import Wishes

TOLERANCE = 1e-4
"""Single precision, sums of at most 48 products of numbers of size 1: rounding stays below 48 * 2**-24 * 10."""


@pytest.fixture(scope="module")
def python_kernel(person: Person, wishes: Wishes) -> Any:
    """Give a Python kernel in which the right answers are computed already."""
    with person.kernel(wishes.kernels["python"]) as kernel:
        kernel.run(cells.PYTHON)
        yield kernel


def compute(kernel: Kernel, cell: str, device: str) -> dict[str, Any]:
    """Run one framework's cell on a device and give its report."""
    printed = kernel.run(cell.replace("DEVICE", repr(device)))
    return dict(json.loads(printed.strip().splitlines()[-1]))


@pytest.mark.parametrize(
    ("cell", "device"), [(cells.TENSORFLOW, "/CPU:0"), (cells.TORCH, "cpu")], ids=["tensorflow", "torch"]
)
def test_framework_computes_in_a_persons_session(python_kernel: Kernel, cell: str, device: str) -> None:
    """The framework lists a device, and its product and convolution agree with NumPy."""
    report = compute(python_kernel, cell, device)
    assert report["devices"]
    assert max(report["off"].values()) < TOLERANCE, report


@pytest.mark.parametrize(
    ("cell", "device"), [(cells.TENSORFLOW, "/GPU:0"), (cells.TORCH, "cuda:0")], ids=["tensorflow", "torch"]
)
def test_framework_computes_on_the_gpu(
    gpus: list[str], wishes: Wishes, python_kernel: Kernel, cell: str, device: str
) -> None:
    """The framework lists every GPU, and what it computes on the first agrees with the CPU."""
    if wishes.gpu == "none":
        pytest.skip('gpulab_gpu is "none": the GPU is not used')
    report = compute(python_kernel, cell, device)
    listed = [name for name in report["devices"] if "CPU" not in name.upper()]
    assert len(listed) == len(gpus), report
    assert max(report["off"].values()) < TOLERANCE * 10, report  # TF32 may be on


def test_r_and_python_share_tensorflow(host: Any, person: Person, wishes: Wishes) -> None:
    """In the R kernel a matrix becomes a tensor and comes back, on the environment that is wished."""
    with person.kernel(wishes.kernels["r"]) as kernel:
        report = json.loads(kernel.run(cells.R))
    release = host.check_output("realpath %s", str(Path(wishes.interpreter).parents[1]))
    assert report["python"] == f"{release}/bin/python"
    assert report["devices"] >= 1
    assert report["back"]
    assert report["product"]
    assert report["shape"] == [2, 3]
