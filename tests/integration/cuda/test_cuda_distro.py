# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's own toolkit (a download of 2 GB), next to one from wheels, on one host. Part of `make nightly`."""

from __future__ import annotations

import pytest

from tests.support.cuda import CudaHost


@pytest.fixture(scope="module", autouse=True)
def toolkits(lab: CudaHost) -> None:
    """Install CUDA 11.8 of Debian 12, and CUDA 13.0."""
    done = lab.apply("11.8", "13.0")
    assert done.code == 0, done.output[-3000:]


@pytest.mark.parametrize(("module", "version"), [("cuda/11.8", "11.8"), ("cuda", "13.0")])
def test_user_compiles_with_each(lab: CudaHost, user: str, module: str, version: str) -> None:
    """The default is the newer one."""
    command = f"module load {module} && nvcc --version && nvcc -arch=sm_75 -o program program.cu && echo compiled"
    output = lab.logged_in(user, command)
    assert f"release {version}," in output, output
    assert "compiled\nexit 0" in output


def test_old_toolkit_has_an_old_compiler(lab: CudaHost, user: str) -> None:
    """CUDA 11.8 rejects Debian 12's default, GCC 12."""
    output = lab.logged_in(user, "module load cuda/11.8; nvcc -c -ccbin /usr/bin/g++-12 program.cu")
    assert "unsupported GNU version" in output, output
    assert "g++-11" in lab.packages()


def test_archive_has_the_components(lab: CudaHost) -> None:
    """In a list of the role's own."""
    assert "contrib non-free" in lab.output("cat /etc/apt/sources.list.d/gpulab-cuda-archive.list")


def test_second_run_changes_nothing(lab: CudaHost) -> None:
    """Package lists are not updated either."""
    assert lab.apply("11.8", "13.0").changed == 0


def test_removal_leaves_nothing(lab: CudaHost) -> None:
    """The toolkit's packages, its compiler and the list of the archive go; the other toolkit stays."""
    done = lab.apply("13.0")
    assert done.code == 0, done.output[-3000:]
    gone = {"nvidia-cuda-toolkit", "nvidia-cuda-dev", "g++-11", "gcc-11"}
    assert lab.packages() & gone == set()
    assert lab.packages() >= {"g++-12", "environment-modules"}
    assert [name for name in lab.files() if "11.8" in name or "archive" in name] == []
    assert lab.apply("13.0").changed == 0
    assert lab.apply().code == 0
    assert lab.files() == []
