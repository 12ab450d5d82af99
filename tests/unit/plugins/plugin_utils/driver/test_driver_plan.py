# SPDX-License-Identifier: GPL-3.0-or-later
"""Action, packages and problems of the driver plan."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.plugin_utils.driver.options import DriverOptions
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.plan import driver_plan
from tests.unit.plugins.plugin_utils.driver.driver_hosts import INSTALLED, KERNEL, host, plan


def test_unknown_gpu_is_reported_and_gets_no_driver() -> None:
    """Nothing is guessed; an administrator can name branch and flavour."""
    result = plan("3f00")
    assert (result.action, result.problems) == ("none", [])
    assert any("3f00 is not in the table" in note for note in result.notes)
    assert any("gpulab_driver_branch" in note for note in result.notes)
    assert plan("3f00", settings={"gpu": "required"}).problems
    named = plan("3f00", settings={"branch": "615", "flavour": "open"})
    assert (named.action, named.branch, named.problems) == ("install", 615, [])
    assert plan("3f00", "1eb8").branch == 580


@pytest.mark.parametrize("kind", ["package", "runfile", "cloud_image", "injected", "unknown"])
def test_existing_driver_is_not_changed(kind: str) -> None:
    """However it was installed."""
    facts: dict[str, Any] = {"driver_kind": kind, "driver_version": "570.133.20", "driver_flavour": "open"}
    result = plan("2335", userland_version="570.133.20", **facts)
    assert (result.action, result.source, result.packages, result.problems) == ("adopt", "preinstalled", [], [])


def test_existing_driver_that_does_not_support_the_gpu_is_a_problem() -> None:
    """Only a working driver is adopted."""
    facts: dict[str, Any] = {"driver_kind": "package", "driver_version": "535.183.01", "driver_flavour": "open"}
    result = plan("2901", userland_version="535.183.01", **facts)
    assert "driver 535.183.01 is too old for B200: at least 570.133.20" in result.problems[0]


def test_second_driver_is_never_installed_next_to_a_runfile() -> None:
    """A .run file and packages would overwrite each other's files."""
    facts: dict[str, Any] = {"driver_kind": "runfile", "driver_version": "580.95.05", "userland_version": "580.95.05"}
    assert "remove the first" in plan("1eb8", settings={"source": "distro"}, **facts).problems[0]
    assert plan("1eb8", settings={"source": "preinstalled"}).problems


def test_other_driver_is_replaced_only_when_a_source_is_named() -> None:
    """As a change, with a test build first, and never while processes use a GPU."""
    facts: dict[str, Any] = {"driver_kind": "package", "driver_version": "535.183.01", "userland_version": "535.183.01"}
    assert plan("1eb8", **facts).action == "adopt"
    assert plan("1eb8", settings={"source": "nvidia_repo"}, **facts).action == "change"


def test_half_installed_packages_are_named() -> None:
    """They would break every later run of apt."""
    packages: dict[str, Any] = {"nvidia-open-kernel-dkms": {"version": "550.163.01-2", "state": "half-configured"}}
    result = plan("1eb8", driver_kind="package", userland_version="550.163.01", packages=packages)
    assert "nvidia-open-kernel-dkms" in result.problems[0]


def test_fabric_manager_comes_with_nvswitch() -> None:
    """Of the same branch as the driver; Debian's own packages have none."""
    ids = ["2330"] * 8
    assert "nvidia-fabricmanager-580" in plan(*ids, system="24.04", fabric="nvswitch").packages
    assert "nvidia-fabricmanager" in plan(*ids, fabric="nvswitch").packages
    assert not plan(*ids).fabric_manager
    assert "has no fabric manager" in plan(*ids, fabric="nvswitch", settings={"source": "distro"}).problems[0]
    assert any("nvidia-imex" in note for note in plan("2941", fabric="rack").notes)


def test_container_gets_its_driver_from_outside() -> None:
    """A container cannot load a kernel module; an image may be built for another machine."""
    result = plan("1eb8", container="docker")
    assert (result.action, result.problems) == ("none", [])
    assert "--device" in result.notes[-1]
    assert plan("1eb8", container="docker", settings={"gpu": "required"}).problems
    image = host("1eb8", container="podman")
    image["gpus"][0]["address"] = "expected"
    assert driver_plan(image, DriverOptions()).action == "install"


def test_host_without_a_gpu_is_not_changed() -> None:
    """It is a problem where a GPU is required."""
    assert plan().action == "none"
    assert "no NVIDIA GPU" in plan(settings={"gpu": "required"}).problems[0]
    assert plan("1eb8", settings={"gpu": "none"}).action == "none"


def test_managed_driver_is_kept_changed_or_removed_by_its_options() -> None:
    """A later run keeps the version; another option is a change; absent removes only a driver of this role."""
    managed: dict[str, Any] = {"source": "nvidia_repo", "branch": 580, "flavour": "open", "version": "580.95.05-1"}
    facts: dict[str, Any] = {"managed": managed, "driver_kind": "package", "userland_version": "580.95.05"}
    same = plan("1eb8", **facts)
    assert (same.action, same.version) == ("install", "580.95.05-1")
    assert plan("1eb8", settings={"version": "580.95.05"}, **facts).action == "install"
    assert plan("1eb8", settings={"branch": "595"}, **facts).action == "change"
    assert plan("1eb8", settings={"version": "580.82.07"}, **facts).action == "change"
    assert plan("1eb8", settings={"state": "absent"}, **facts).action == "uninstall"
    assert plan("1eb8", settings={"state": "absent"}, **{**facts, "managed": {}}).action == "none"


def test_complete_managed_driver_is_kept() -> None:
    """A new kernel or a missing module is work for a second run; a complete driver is not."""
    managed: dict[str, Any] = {
        "source": "distro",
        "branch": 535,
        "flavour": "proprietary",
        "version": "535.309.01-0+deb12u1",
    }
    managed["packages"] = plan("1eb8", settings={"source": "distro"}).packages
    facts: dict[str, Any] = {**INSTALLED, "managed": managed}
    settings = {"source": "distro"}
    assert plan("1eb8", settings=settings, **facts).action == "keep"
    assert plan("1eb8", settings=settings, **{**facts, "modules": {KERNEL: []}}).action == "install"
    newer = {"release": "6.1.0-60-amd64", "installed": True, "headers": True}
    facts["kernels"] = [{"release": KERNEL, "installed": True, "headers": True}, newer]
    assert plan("1eb8", settings=settings, **facts).action == "install"


def test_display_card_does_not_decide_on_the_driver() -> None:
    """A GT 710 next to an RTX 4090: the driver is the same as without it, and the card is named."""
    result = plan("2684", "128b")
    assert (result.branch, result.flavour, result.problems) == (plan("2684").branch, plan("2684").flavour, [])
    assert any("GT-710 (GPU 128b) is a display card" in note for note in result.notes)
    assert any("3f00 is not in the table" in note for note in plan("2684", "3f00").notes)
