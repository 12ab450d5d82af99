# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role rejects, repairs, replaces and removes. In order, on the host of this scenario."""

from __future__ import annotations

import pytest

from tests.support.cuda import CudaHost
from tests.support.lab import Outcome

BOTH = ("13.0", "13.5")
DEFAULT = {"cuda_default_version": "13.0"}
NVCC = "/opt/gpulab/cuda/13.5/current/lib/python3*/site-packages/nvidia/cu13/bin/nvcc"
OWN_PACKAGES = {"environment-modules", "g++-12", "gcc-12", "tcl8.6"}


def assert_rejected(outcome: Outcome, *words: str) -> None:
    """Assert that a run failed before it changed anything, with a message that has these words."""
    assert (outcome.code != 0, outcome.changed) == (True, 0), outcome.output[-3000:]
    for word in words:
        assert word in outcome.text, outcome.output[-3000:]


def test_bad_versions_are_rejected(lab: CudaHost) -> None:
    """An unknown one, a default that is not listed, and a source that does not have the version."""
    assert_rejected(lab.apply("14.7"), "cuda_versions (gpulab_cuda_versions): 14.7 is unknown", "12.9, 13.0, 13.1")
    assert_rejected(lab.apply("13.0", cuda_default_version="12.8"), "gpulab_cuda_default_version) is 12.8", "(13.0)")
    assert_rejected(lab.apply("12.8", cuda_source="distro"), "cuda_source (gpulab_cuda_source) distro", "to 11.8,")


def test_disk_that_is_too_small_is_rejected(lab: CudaHost) -> None:
    """With the size, and the file system that it misses."""
    lab.shell("mkdir -p /mnt/small && mount -t tmpfs -o size=10m tmpfs /mnt/small")
    try:
        outcome = lab.apply("13.4", cuda_path="/mnt/small/cuda")
    finally:
        lab.shell("umount /mnt/small && rmdir /mnt/small")
    assert_rejected(outcome, "mounted at /mnt/small has 0.0 GB free and needs 0.5 GB for /mnt/small/cuda")


def test_repository_that_does_not_answer_is_rejected(lab: CudaHost) -> None:
    """The message names option and site variable."""
    outcome = lab.apply("12.8", nvidia_driver_repository="http://127.0.0.1:9/repos")
    assert_rejected(outcome, "nvidia_driver_repository (gpulab_sources.nvidia): http://127.0.0.1:9/repos")


def test_modulefile_of_the_site_is_not_replaced(lab: CudaHost) -> None:
    """A file without the role's mark stops the run."""
    path = "/etc/environment-modules/modules/cuda/13.4"
    lab.shell(f"echo site > {path}")
    outcome = lab.apply("13.4")
    assert_rejected(outcome, f"{path} exists and was not written by gpulab")
    lab.shell(f"rm {path}")


def test_second_run_changes_nothing_and_compiles(lab: CudaHost) -> None:
    """With few tasks."""
    outcome = lab.apply(*BOTH, **DEFAULT)
    assert (outcome.code, outcome.changed) == (0, 0), outcome.output[-3000:]
    assert "Compile, link and run a program" in outcome.output
    assert "Install |" not in outcome.output


def test_damaged_toolkit_is_installed_again(lab: CudaHost, user: str) -> None:
    """The check of each run finds it."""
    lab.shell(f"rm {NVCC}")
    outcome = lab.apply(*BOTH, **DEFAULT)
    assert outcome.code == 0, outcome.output[-3000:]
    assert "release 13.5," in lab.logged_in(user, "module load cuda/13.5; nvcc --version")


def test_compiler_that_was_removed_is_installed_again(lab: CudaHost) -> None:
    """Also found by the check."""
    lab.shell("DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes purge g++-12")
    assert lab.apply(*BOTH, **DEFAULT).code == 0
    assert "g++-12" in lab.packages()


def test_version_that_is_not_listed_is_removed(lab: CudaHost, user: str) -> None:
    """With its module; the other version is the default then and keeps its compiler."""
    assert lab.check_mode("13.5").changed > 0
    assert any(path.endswith("/cuda/13.0") for path in lab.files())
    outcome = lab.apply("13.5")
    assert outcome.code == 0, outcome.output[-3000:]
    assert not [path for path in lab.files() if "13.0" in path]
    assert "release 13.5," in lab.logged_in(user, "module load cuda; nvcc --version")
    assert "exit 1" in lab.logged_in(user, "module load cuda/13.0")
    assert lab.packages() >= OWN_PACKAGES
    assert lab.apply("13.5").changed == 0


def test_empty_list_removes_all(lab: CudaHost) -> None:
    """No file, no package and no record stays; a further run does next to nothing."""
    added = set(lab.record()["added"])
    assert added >= OWN_PACKAGES
    outcome = lab.apply()
    assert outcome.code == 0, outcome.output[-3000:]
    assert lab.files() == []
    assert lab.packages() & added == set()
    again = lab.apply()
    assert (again.code, again.changed) == (0, 0)
    assert lab.files() == []


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
