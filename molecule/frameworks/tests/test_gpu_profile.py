# SPDX-License-Identifier: GPL-3.0-or-later
"""A GPU profile on a host without a GPU: its libraries have the pinned versions. No GPU is used."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.lab import Lab
from tests.support.paths import ROOT as CHECKOUT

ROOT = "/opt/gpulab/envs/gpu/current"
TORCH = """
import json, torch
maps = open("/proc/self/maps").read()
paths = sorted({line.split()[-1] for line in maps.splitlines() if "libcudnn.so" in line or "libnccl.so" in line})
product = (torch.arange(6.).reshape(2, 3) @ torch.arange(6.).reshape(3, 2)).tolist()
result = {"cudnn": torch.backends.cudnn.version(), "cuda": torch.version.cuda, "paths": paths, "product": product}
print(json.dumps(result))
"""
JAX = "import jax, json; print(json.dumps({'sum': float(jax.numpy.arange(4.).sum()), 'on': jax.devices()[0].platform}))"


@pytest.fixture(scope="module")
def pins(host: Any) -> dict[str, str]:
    """Return the versions of the lock."""
    return dict(json.loads(host.file(f"{ROOT}/.gpulab-release.json").content_string)["versions"])


def answer(host: Any, code: str) -> dict[str, Any]:
    """Return the output of a program in the environment."""
    return dict(json.loads(host.check_output(f"{ROOT}/bin/python -W ignore -c %s", code).splitlines()[-1]))


def test_torch_loads_the_pinned_cudnn(host: Any, pins: dict[str, str]) -> None:
    """PyTorch reports the version, and the loaded files are the environment's own."""
    result = answer(host, TORCH)
    major, minor, patch = pins["nvidia-cudnn-cu13"].split(".")[:3]
    assert result["cudnn"] == int(major) * 10000 + int(minor) * 100 + int(patch)
    assert result["cuda"].startswith("13.")
    assert {path.split("site-packages/")[1].split("/lib/")[0] for path in result["paths"]} == {
        "nvidia/cudnn", "nvidia/nccl",
    }  # fmt: skip
    assert result["product"] == [[10.0, 13.0], [28.0, 40.0]]


def test_jax_computes_on_the_processor(host: Any) -> None:
    """With JAX_PLATFORMS=cpu; without, it crashes on a host without a driver (docs/reference/frameworks.md)."""
    assert answer(host, "import os; os.environ['JAX_PLATFORMS'] = 'cpu'; " + JAX) == {"sum": 6.0, "on": "cpu"}


def test_kernel_has_a_title_with_its_frameworks(host: Any) -> None:
    """Users choose by title."""
    kernel = json.loads(host.file("/usr/local/share/jupyter/kernels/gpu/kernel.json").content_string)
    assert kernel["display_name"] == "Python (PyTorch, JAX; GPU)"
    assert kernel["metadata"]["gpulab_on_gpu"] == ["torch", "jax"]


def test_doctor_finds_an_overwritten_library(host: Any) -> None:
    """One additional byte in a library of the pinned cuDNN is a finding that names the package."""
    doctor = f"gpulab doctor --json --python {ROOT}/bin/python"
    victim = host.check_output(f"ls {ROOT}/lib/python3.*/site-packages/nvidia/cudnn/lib/libcudnn.so.9")
    assert "overwritten" not in host.run(doctor).stdout
    host.check_output("cp --preserve %s /root/victim && echo >> %s", victim, victim)
    try:
        done = host.run(doctor)
        assert done.rc == 1
        assert [finding["name"] for finding in json.loads(done.stdout)] == ["overwritten libraries"]
        assert "libcudnn.so.9" in done.stdout
    finally:
        host.check_output("mv /root/victim %s", victim)


def test_known_bad_pair_is_rejected_after_the_installation(lab: Lab) -> None:
    """The two NCCLs have overwritten each other, and no release becomes current."""
    path = "/opt/gpulab/envs/bad-pair"
    lock = CHECKOUT / "tests" / "integration" / "wheels" / "bad-pair-nccl.txt"
    done = lab.ansible("ansible", lab.host, "-m", "gpulab.core.locked_environment", "-a", f"path={path} lock={lock}")
    assert done.returncode != 0
    assert "two packages overwrite each other" in done.stdout
    assert "nvidia/nccl/" in done.stdout
    assert "current" not in lab.shell(f"ls {path} && rm -r {path}")
