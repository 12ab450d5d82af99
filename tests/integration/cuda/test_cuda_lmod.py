# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that has Lmod keeps it: the packages of both exclude each other. Part of `make nightly`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cuda import CudaHost

APT = "DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes"


@pytest.fixture(scope="module", autouse=True)
def lmod(lab: CudaHost) -> Iterator[None]:
    """Install Lmod for the duration of this file."""
    lab.shell(f"apt-get --quiet update && {APT} --no-install-recommends install lmod")
    yield
    lab.shell(f"{APT} purge lmod && {APT} autoremove --purge")


def test_lmod_loads_the_modules(lab: CudaHost, user: str) -> None:
    """The same files, with the default."""
    done = lab.apply("13.0", "13.5", cuda_default_version="13.0")
    assert done.code == 0, done.output[-3000:]
    assert "environment-modules" not in lab.packages()
    compile_it = "nvcc --version && nvcc -arch=sm_75 -o program program.cu && echo compiled"
    output = lab.logged_in(user, f"module load cuda && {compile_it}")
    assert "release 13.0," in output, output
    assert "compiled\nexit 0" in output
    assert "release 13.5," in lab.logged_in(user, f"module load cuda/13.5 && {compile_it}")
    assert lab.apply("13.0", "13.5", cuda_default_version="13.0").changed == 0


def test_lmod_loads_cudnn(lab: CudaHost, user: str) -> None:
    """After a toolkit that fits: Lmod does not load one by itself."""
    done = lab.apply_cudnn(cudnn_enabled=True)
    assert done.code == 0, done.output[-3000:]
    output = lab.logged_in(user, "module load cuda cudnn && nvcc -o cudnn cudnn.cu -lcudnn && ./cudnn")
    assert "cuDNN 9.28\n" in output, output
    assert "CUDNN_HOME" not in lab.logged_in(user, "module load cudnn; env")
    assert lab.apply_cudnn().code == 0
    assert lab.cudnn_files() == []


def test_lmod_stays(lab: CudaHost) -> None:
    """The role did not install it."""
    assert lab.apply().code == 0
    assert lab.files() == []
    assert "lmod" in lab.packages()
