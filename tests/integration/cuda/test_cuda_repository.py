# SPDX-License-Identifier: GPL-3.0-or-later
"""Toolkits of NVIDIA's repository: a signed one of our own, whose nvcc is a script. Part of `make nightly`."""

from __future__ import annotations

import pytest

from tests.support.cuda import CudaHost


def test_check_mode_on_a_host_without_anything(lab: CudaHost, repository: CudaHost) -> None:
    """It succeeds, reports changes and makes none, for wheels and for packages."""
    before = lab.packages()
    for version in ("13.0", "12.8", "11.8"):
        outcome = lab.check_mode(version, **repository.base)
        assert outcome.code == 0, outcome.output[-3000:]
        assert outcome.changed > 0
    assert (lab.files(), lab.packages()) == ([], before)


def test_toolkits_come_from_nvidias_repository(repository: CudaHost, user: str) -> None:
    """Two next to each other, with the compiler by a flag, because their nvcc does not read NVCC_CCBIN."""
    outcome = repository.apply("12.6", "12.8")
    assert outcome.code == 0, outcome.output[-4000:]
    assert repository.packages() >= {"cuda-toolkit-12-6", "cuda-toolkit-12-8"}
    assert "release 12.8," in repository.logged_in(user, "module load cuda; nvcc --version")
    assert "release 12.6," in repository.logged_in(user, "module load cuda/12.6; nvcc --version")
    assert "-ccbin /usr/bin/g++-12 -gencode=arch=compute_75,code=" in repository.output("cat /tmp/nvcc.log")
    assert repository.apply("12.6", "12.8").changed == 0


@pytest.mark.parametrize("package", ["nvidia-driver-cuda", "nvidia-smi"])
def test_repository_of_toolkits_offers_no_driver(repository: CudaHost, package: str) -> None:
    """An upgrade would replace the distribution's driver under its loaded module."""
    policy = repository.output(f"apt-cache policy {package}")
    assert "http://127.0.0.1:8099" in policy
    assert "Candidate: (none)" in policy


def test_toolkit_is_replaced_by_that_of_another_source(repository: CudaHost) -> None:
    """Packages and repository of the old one go."""
    outcome = repository.apply("13.0")
    assert outcome.code == 0, outcome.output[-4000:]
    assert not [name for name in repository.packages() if name.startswith("cuda-")]
    assert "nvidia" not in repository.output("ls /etc/apt/sources.list.d /etc/apt/preferences.d /usr/share/keyrings")
    assert repository.apply("13.0").changed == 0


def test_version_that_the_repository_lacks_is_named(repository: CudaHost) -> None:
    """The message of apt names the package; the next run with another list removes all that was added."""
    outcome = repository.apply("12.9")
    assert outcome.code != 0
    assert "cuda-toolkit-12-9" in outcome.text
    assert repository.apply("13.0").code == 0
    assert "nvidia" not in repository.output("ls /etc/apt/sources.list.d /etc/apt/preferences.d")
    assert repository.apply().code == 0
    assert repository.files() == []
