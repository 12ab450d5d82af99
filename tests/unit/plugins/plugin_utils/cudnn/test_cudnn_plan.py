# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cuDNN a host gets, and the messages about those that cannot work."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.plugin_utils.cudnn.plan import CudnnOptions, CudnnPlan, cudnn_plan
from ansible_collections.gpulab.core.plugins.plugin_utils.cudnn.releases import BY_VERSION, RELEASES
from tests.support.paths import ROOT
from tests.unit.plugins.plugin_utils.driver.driver_hosts import FAMILY, host


def plan(*gpus: str, toolkits: str = "13.0", **options: Any) -> CudnnPlan:
    """Return the plan for a host with these GPUs and toolkits, the latter separated by blanks."""
    return cudnn_plan(host(*(FAMILY[name] for name in gpus)), CudnnOptions(toolkits=tuple(toolkits.split()), **options))


def problem(*gpus: str, **arguments: Any) -> str:
    """Return the only problem of a plan."""
    result = plan(*gpus, **arguments)
    assert len(result.problems) == 1, result.problems
    assert result.libraries == []
    return result.problems[0]


def test_each_cuda_major_version_has_its_library() -> None:
    """With the toolkits that it fits; the newest is the default."""
    result = plan(toolkits="12.8 13.0 13.5 12.6")
    assert [(library.name, library.toolkits) for library in result.libraries] == [
        ("9.28-cuda13", ["13.0", "13.5"]),
        ("9.28-cuda12", ["12.6", "12.8"]),
    ]
    assert (result.default, result.packages, result.repository) == ("9.28-cuda13", [], False)
    assert result.libraries[0].lock == "locks/cudnn-9.28-cuda13.txt"
    assert result.libraries[0].root.startswith("/opt/gpulab/cudnn/9.28-cuda13/current/lib/python3*/")
    assert (result.problems, result.notes) == ([], [])


@pytest.mark.parametrize("gpu", ["M40", "P100", "V100"])
def test_gpu_before_turing_gets_the_last_release_that_supports_it(gpu: str) -> None:
    """Release 9.11 dropped Maxwell, Pascal and Volta."""
    assert [library.name for library in plan(gpu, toolkits="12.8").libraries] == ["9.10-cuda12"]
    assert [library.name for library in plan("T4", toolkits="12.8").libraries] == ["9.28-cuda12"]


@pytest.mark.parametrize("gpu", ["M40", "P100", "V100"])
def test_release_without_the_gpu_is_rejected_with_the_last_that_can(gpu: str) -> None:
    """The message says since when."""
    text = problem(gpu, toolkits="12.8", version="9.28")
    assert f"cuDNN 9.28 does not support {gpu} (compute capability" in text
    assert "cuDNN 9.11 dropped Maxwell, Pascal and Volta. The last that can is 9.10: set cudnn_version" in text
    assert "with a toolkit of CUDA 12 in cudnn_cuda_versions (gpulab_cuda_versions)" in text
    assert "The last that can is 9.10" in problem(gpu, toolkits="13.0")


def test_gpu_that_no_release_supports_is_rejected() -> None:
    """Kepler: the last was cuDNN 8."""
    text = problem("K80", toolkits="12.8")
    assert "gpulab has no cuDNN that supports K80 (compute capability 3.7): set cudnn_enabled" in text


def test_old_gpu_next_to_a_new_one() -> None:
    """CUDA 12 has a release for both; with CUDA 13, the toolkit does not compile for the old one either."""
    assert [library.name for library in plan("V100", "H100", toolkits="12.8").libraries] == ["9.10-cuda12"]
    assert [library.name for library in plan("V100", "H100", toolkits="13.0").libraries] == ["9.28-cuda13"]
    (note,) = plan("V100", "H100", toolkits="12.8", version="9.28").notes
    assert note == "cuDNN 9.28 does not support V100 (compute capability 7.0)."


def test_unknown_version_is_rejected_with_the_known_ones() -> None:
    """The message names option and site variable."""
    assert problem(version="9.99") == (
        "cudnn_version (gpulab_cudnn_version): 9.99 is unknown to this release of gpulab. Known: 9.10 and 9.28"
    )


def test_version_that_is_not_built_for_the_toolkits_is_rejected() -> None:
    """With the versions that are, and the toolkits that would do."""
    text = problem(version="9.10", toolkits="13.0 13.5")
    assert "cuDNN 9.10 is not built for CUDA 13 (toolkit 13.0, 13.5): set cudnn_version" in text
    assert "to 9.28, or list a toolkit of CUDA 12 in cudnn_cuda_versions (gpulab_cuda_versions)" in text


def test_version_for_one_of_two_majors_gets_a_note() -> None:
    """The other toolkit stays without cuDNN."""
    result = plan(version="9.10", toolkits="12.8 13.0")
    assert [library.name for library in result.libraries] == ["9.10-cuda12"]
    assert result.notes[0].startswith("cuDNN 9.10 is not built for CUDA 13")


def test_toolkit_of_a_major_version_without_cudnn_is_rejected() -> None:
    """CUDA 11 has no cuDNN of these releases."""
    text = problem(toolkits="11.8")
    assert "cuDNN 9.10 or 9.28 is not built for CUDA 11 (toolkit 11.8): list a toolkit of CUDA 12 or 13 in" in text
    assert [library.cuda for library in plan(toolkits="11.8 13.0").libraries] == [13]


@pytest.mark.parametrize("toolkits", ["", "latest"])
def test_host_without_a_toolkit_is_rejected(toolkits: str) -> None:
    """The message names both variables."""
    text = problem(toolkits=toolkits)
    assert text.startswith("cudnn_enabled (gpulab_cudnn_enabled) is true, and the host has no CUDA toolkit")
    assert "list one in cudnn_cuda_versions (gpulab_cuda_versions)" in text


def test_package_of_the_distribution_is_rejected_with_the_reason() -> None:
    """Debian's and Ubuntu's package is a program that downloads."""
    text = problem(source="distro")
    assert "nvidia-cudnn has no library, its installation downloads one from NVIDIA" in text
    assert "Set cudnn_source (gpulab_cudnn_source) to wheels or nvidia_repo" in text


def test_nvidias_repository_has_packages_for_one_major_version() -> None:
    """Those of two have the same files."""
    result = plan(toolkits="12.8", source="nvidia_repo")
    assert result.packages == ["libcudnn9-cuda-12", "libcudnn9-dev-cuda-12", "libcudnn9-headers-cuda-12"]
    assert (result.repository, result.libraries[0].root, result.libraries[0].lock) == (True, "/usr", "")
    text = problem(toolkits="12.8 13.0", source="nvidia_repo")
    assert "for CUDA 12 and 13 have the same files" in text
    assert "set cudnn_source (gpulab_cudnn_source) to wheels" in text


def test_unknown_gpu_restricts_nothing() -> None:
    """Nothing is guessed about a card that the table lacks."""
    assert cudnn_plan(host("ffff"), CudnnOptions(toolkits=("13.0",))).problems == []


def test_disk_space_is_that_of_the_missing_libraries() -> None:
    """Added up by directory."""
    assert plan(toolkits="12.8 13.0").free_gb == {"/opt/gpulab/cudnn": 5.0, "/var/cache/gpulab": 5.0}
    assert plan(toolkits="12.8 13.0", installed=("9.28-cuda13", "9.28-cuda12")).free_gb == {}
    assert plan(source="nvidia_repo").free_gb == {"/usr": 2.0, "/var": 1.5}


def test_drivers_are_blocked() -> None:
    """NVIDIA's repository has drivers, too, which apt would take for upgrades."""
    assert {"libcuda1", "nvidia-driver-cuda", "nvidia-smi"} <= set(plan(source="nvidia_repo").blocked)


def test_every_release_has_its_locks_and_no_other_lock_exists() -> None:
    """The table and the files agree."""
    locks = {path.stem for path in (ROOT / "roles/cudnn/files/locks").glob("*.txt")}
    assert locks == {f"cudnn-{release.version}-cuda{major}" for release in RELEASES for major in release.cuda}
    assert list(BY_VERSION) == ["9.10", "9.28"]
