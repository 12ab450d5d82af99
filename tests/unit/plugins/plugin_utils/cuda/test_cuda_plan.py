# SPDX-License-Identifier: GPL-3.0-or-later
"""Which CUDA toolkits a host gets, and the messages about those that cannot work."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.plugin_utils.cuda.plan import CudaOptions, CudaPlan, cuda_plan
from ansible_collections.gpulab.core.plugins.plugin_utils.cuda.releases import RELEASES
from tests.unit.plugins.plugin_utils.driver.driver_hosts import FAMILY, host


def plan(*gpus: str, versions: str = "13.0", system: str = "12", driver: str = "", **options: Any) -> CudaPlan:
    """Return the plan for a host with these GPUs and the versions, separated by blanks."""
    facts = host(*(FAMILY[name] for name in gpus), system=system, driver_version=driver)
    return cuda_plan(facts, CudaOptions(versions=tuple(versions.split()), **options))


def problem(*gpus: str, **arguments: Any) -> str:
    """Return the only problem of a plan."""
    result = plan(*gpus, **arguments)
    assert len(result.problems) == 1, result.problems
    assert result.toolkits == []
    return result.problems[0]


def test_no_version_needs_nothing_of_the_host() -> None:
    """The facts are not even read."""
    assert cuda_plan({}, CudaOptions()) == CudaPlan()  # type: ignore[typeddict-item]


def test_host_without_gpu_compiles_for_a_default() -> None:
    """Compiling needs no GPU."""
    result = plan(versions="13.0 13.5")
    assert [(kit.version, kit.source, kit.compiler, kit.capabilities) for kit in result.toolkits] == [
        ("13.0", "wheels", "g++-12", ["75"]),
        ("13.5", "wheels", "g++-12", ["75"]),
    ]
    assert (result.default, result.packages, result.repository) == ("13.5", ["g++-12"], False)
    assert result.toolkits[0].lock == "locks/toolkit-13.0.txt"
    assert (result.problems, result.notes) == ([], [])


def test_check_is_compiled_for_the_gpus_of_the_host() -> None:
    """Each compute capability once."""
    assert plan("A100", "T4", "T4").toolkits[0].capabilities == ["75", "80"]


@pytest.mark.parametrize(
    ("version", "system", "source", "package", "root"),
    [
        ("13.1", "12", "wheels", "", "/opt/gpulab/cuda/13.1/current/lib/python3*/site-packages/nvidia/cu13"),
        ("11.8", "12", "distro", "nvidia-cuda-toolkit", "/usr"),
        ("12.4", "13", "distro", "nvidia-cuda-toolkit", "/usr"),
        ("12.4", "12", "nvidia_repo", "cuda-toolkit-12-4", "/usr/local/cuda-12.4"),
        ("12.0", "24.04", "distro", "nvidia-cuda-toolkit", "/usr"),
    ],
)
def test_auto_takes_the_source_that_has_the_version(
    version: str, system: str, source: str, package: str, root: str
) -> None:
    """Wheels first, then the distribution, then NVIDIA's repository."""
    result = plan(versions=version, system=system)
    (kit,) = result.toolkits
    assert (kit.source, kit.package, kit.root) == (source, package, root)
    assert result.repository == (source == "nvidia_repo")
    assert bool(result.components) == (source == "distro")


@pytest.mark.parametrize(
    ("version", "system", "compiler"),
    [
        ("11.8", "12", "g++-11"),
        ("12.0", "12", "g++-12"),
        ("12.4", "13", "g++-13"),
        ("13.0", "13", "g++-14"),
        ("11.5", "22.04", "g++-10"),
        ("12.0", "24.04", "g++-12"),
        ("13.5", "24.04", "g++-14"),
    ],
)
def test_newest_compiler_that_nvcc_accepts_is_chosen(version: str, system: str, compiler: str) -> None:
    """Of those that the distribution has."""
    assert plan(versions=version, system=system).toolkits[0].compiler == compiler


def test_default_is_the_newest_or_the_requested_one() -> None:
    """13.10 would be newer than 13.9: versions are compared as numbers."""
    assert plan(versions="13.5 12.9 13.0").default == "13.5"
    assert plan(versions="13.5 12.9", default_version="12.9").default == "12.9"


def test_same_version_twice_is_installed_once() -> None:
    """A list that is joined from several groups may repeat itself."""
    assert len(plan(versions="13.0 13.0").toolkits) == 1


def test_unknown_version_is_rejected_with_the_known_ones() -> None:
    """The message names variable and versions."""
    text = problem(versions="13.0 14.7")
    assert "cuda_versions (gpulab_cuda_versions): 14.7 is unknown" in text
    assert all(release.version in text for release in RELEASES)


def test_default_that_is_not_listed_is_rejected() -> None:
    """The message names both variables."""
    text = problem(versions="13.0", default_version="12.8")
    assert "cuda_default_version (gpulab_cuda_default_version) is 12.8, which cuda_versions" in text
    assert "(13.0)" in text


@pytest.mark.parametrize(("gpu", "driver"), [("T4", "550.54.14"), ("A100", "535.309.01")])
def test_nvcc_newer_than_the_driver_is_rejected_with_versions_that_work(gpu: str, driver: str) -> None:
    """CUDA 13 needs R580; the message has the other remedy, too: a newer driver."""
    text = problem(gpu, driver=driver)
    assert f"CUDA 13.0 needs driver 580 or newer, and the host has {driver}: set cuda_versions" in text
    assert "to 11.8 or 12.0 or" in text
    assert "or 13." not in text
    assert "gpulab_driver_branch" in text


@pytest.mark.parametrize("gpu", ["M40", "P100", "V100"])
def test_gpu_that_the_release_no_longer_supports_is_rejected(gpu: str) -> None:
    """CUDA 13 dropped Maxwell, Pascal and Volta."""
    text = problem(gpu, driver="580.95.05")
    assert f"CUDA 13.0 does not compile for {gpu} (compute capability" in text
    assert "12.8 or 12.9" in text
    assert "or 13." not in text
    assert plan(gpu, versions="12.9", driver="580.95.05").problems == []


def test_gpu_that_is_newer_than_the_release_is_rejected() -> None:
    """Blackwell needs 12.8."""
    text = problem("B200", versions="12.4", driver="580.95.05")
    assert "CUDA 12.4 does not compile for B200 (compute capability 10.0): set cuda_versions" in text
    assert "to 12.8 or 12.9 or 13.0" in text


def test_gpu_that_is_not_supported_next_to_one_that_is_gets_a_note() -> None:
    """The toolkit works for the other one."""
    result = plan("P100", "T4", driver="580.95.05")
    assert result.toolkits[0].capabilities == ["75"]
    assert result.notes == ["CUDA 13.0 does not compile for P100 (compute capability 6.0)."]


def test_driver_that_carries_an_older_minor_version_gets_a_note() -> None:
    """Its programs run, but not its PTX."""
    (note,) = plan("T4", versions="13.2", driver="580.95.05").notes
    assert "CUDA 13.2 is newer than driver 580.95.05 (R595 carries it): compile for the GPU itself" in note
    assert plan("T4", versions="13.0", driver="580.95.05").notes == []


def test_compiler_that_is_too_new_is_rejected() -> None:
    """Debian 13 has no GCC 11."""
    text = problem(versions="11.8", system="13", source="nvidia_repo")
    assert "CUDA 11.8 compiles with GCC 11 or older, and debian 13 has only GCC 12, 13, 14: set cuda_versions" in text
    assert "12.0" in text


@pytest.mark.parametrize(("source", "version"), [("wheels", "12.8"), ("distro", "13.0")])
def test_source_without_the_version_is_rejected(source: str, version: str) -> None:
    """The message names the source's option and the versions that it has."""
    text = problem(versions=version, source=source)
    assert f"CUDA {version} does not come from cuda_source (gpulab_cuda_source) {source} on debian 12" in text
    assert ("to 13.0 or 13.1" if source == "wheels" else "to 11.8,") in text


def test_host_for_which_no_version_works_is_told_to_install_none() -> None:
    """Kepler with wheels: 13.0 and newer only."""
    assert "set cuda_versions (gpulab_cuda_versions) to []" in problem("K80", source="wheels")


def test_unknown_system_is_rejected() -> None:
    """By name, with the supported ones."""
    facts = {**host(), "system": {"id": "debian", "version": "11", "machine": "x86_64"}}
    (text,) = cuda_plan(facts, CudaOptions(versions=("13.0",))).problems  # type: ignore[arg-type]
    assert "does not support debian 11. Supported: Debian 12, Debian 13, Ubuntu 22.04" in text


def test_unknown_gpu_restricts_nothing() -> None:
    """Nothing is guessed about a card that the table lacks."""
    facts = host("ffff", driver_version="535.309.01")
    assert cuda_plan(facts, CudaOptions(versions=("13.0",))).problems == []


def test_disk_space_is_that_of_the_missing_toolkits() -> None:
    """Added up by directory."""
    assert plan(versions="13.0 13.5").free_gb == {"/opt/gpulab/cuda": 1.0, "/var/cache/gpulab": 1.0}
    assert plan(versions="13.0 13.5", installed=("13.0",)).free_gb == {
        "/opt/gpulab/cuda": 0.5,
        "/var/cache/gpulab": 0.5,
    }
    assert plan(versions="11.8 12.8").free_gb == {"/usr": 14.0, "/var": 6.0}


def test_drivers_are_blocked() -> None:
    """NVIDIA's repository has drivers, too, which apt would take for upgrades."""
    assert {"libcuda1", "nvidia-driver-cuda", "nvidia-smi"} <= set(plan(versions="12.8").blocked)
