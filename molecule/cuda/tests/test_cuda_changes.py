# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role rejects, repairs, replaces and removes. In order, on the host of this scenario."""

from __future__ import annotations

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


def test_disk_and_files_of_the_site_are_checked(lab: CudaHost) -> None:
    """The message has the size and the file system, and the module without the role's mark: all problems at once."""
    path = "/etc/environment-modules/modules/cuda/13.4"
    lab.shell(f"echo site > {path} && mkdir -p /mnt/small && mount -t tmpfs -o size=10m tmpfs /mnt/small")
    try:
        outcome = lab.apply("13.4", cuda_path="/mnt/small/cuda")
    finally:
        lab.shell(f"rm {path} && umount /mnt/small && rmdir /mnt/small")
    assert_rejected(
        outcome,
        "mounted at /mnt/small has 0.0 GB free and needs 0.5 GB for /mnt/small/cuda",
        f"{path} exists and was not written by gpulab",
    )


def test_damaged_toolkit_is_installed_again(lab: CudaHost, user: str) -> None:
    """The check of each run notices files and compilers that are gone."""
    lab.shell(f"rm {NVCC} && DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes purge g++-12")
    outcome = lab.apply(*BOTH, **DEFAULT)
    assert outcome.code == 0, outcome.output[-3000:]
    assert "g++-12" in lab.packages()
    assert "release 13.5," in lab.logged_in(user, "module load cuda/13.5; nvcc --version")


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
