# SPDX-License-Identifier: GPL-3.0-or-later
"""cuDNN of NVIDIA's repository: a signed one of our own, whose library is a fixture. Part of `make nightly`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.cuda.conftest import served
from tests.integration.driver import vendor
from tests.support.cuda import CudaHost

PACKAGES = {"libcudnn9-cuda-13", "libcudnn9-dev-cuda-13", "libcudnn9-headers-cuda-13"}
ON = {"cudnn_enabled": True, "cudnn_cuda_versions": ["13.0"], "cudnn_source": "nvidia_repo"}
LISTS = "ls /etc/apt/sources.list.d /etc/apt/preferences.d /usr/share/keyrings"


@pytest.fixture(scope="module")
def repository(lab: CudaHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CudaHost]:
    """Yield the host with a toolkit from wheels, while it serves a repository with the names of NVIDIA's packages."""
    with served(lab, vendor.build_cudnn(tmp_path_factory.mktemp("vendor"), "debian12")):
        done = lab.apply("13.0")
        assert done.code == 0, done.output[-3000:]
        yield lab


def test_cudnn_comes_from_nvidias_repository(repository: CudaHost, user: str) -> None:
    """In the pinned release, although a newer one is there; a user compiles and runs."""
    outcome = repository.apply_cudnn(**ON)
    assert outcome.code == 0, outcome.output[-4000:]
    assert repository.packages() >= PACKAGES
    assert "Candidate: 9.28.1.4-1" in repository.output("apt-cache policy libcudnn9-cuda-13")
    output = repository.logged_in(user, "module load cuda cudnn && nvcc -o cudnn cudnn.cu -lcudnn && ./cudnn")
    assert "cuDNN 9.28\n" in output, output
    assert repository.apply_cudnn(**ON).changed == 0


def test_repository_of_cudnn_offers_no_driver(repository: CudaHost) -> None:
    """An upgrade would replace the distribution's driver under its loaded module."""
    assert "Candidate: (none)" in repository.output("apt-cache policy nvidia-smi")


def test_repository_stays_while_one_role_needs_it(repository: CudaHost) -> None:
    """A toolkit of the repository goes, cuDNN stays; a toolkit comes back, cuDNN goes."""
    assert repository.apply("12.6", "13.0").code == 0
    assert repository.apply("13.0").code == 0
    assert "gpulab-nvidia.sources" in repository.output(LISTS)
    assert repository.apply("12.6", "13.0").code == 0
    assert repository.apply_cudnn().code == 0
    assert repository.packages() & PACKAGES == set()
    assert "gpulab-nvidia.sources" in repository.output(LISTS)


def test_removal_leaves_nothing(repository: CudaHost) -> None:
    """With the last of both, repository and key go."""
    assert repository.apply_cudnn(**ON).code == 0
    assert repository.apply("13.0").code == 0
    outcome = repository.apply_cudnn()
    assert outcome.code == 0, outcome.output[-3000:]
    assert repository.cudnn_files() == []
    assert "nvidia" not in repository.output(LISTS)
    assert repository.apply_cudnn().changed == 0
    assert repository.apply().code == 0
    assert repository.files() == []
