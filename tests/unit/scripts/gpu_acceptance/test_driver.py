# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver's side, below a root directory of the test: versions, nodes, toolkit, kernel's log."""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path

import pytest

from scripts.gpu_acceptance import driver
from scripts.gpu_acceptance.driver import Driver, Node
from scripts.gpu_acceptance.gpus import Reading
from scripts.gpu_acceptance.report import FAILED, NOT_SUPPORTED, PASSED, SKIPPED
from tests.unit.scripts.gpu_acceptance.conftest import gpu

VERSION = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n"


def write(path: Path, text: str = "") -> None:
    """Write a file and the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the root of a host with two GPUs on the bus and a driver that serves them."""
    for number in (1, 2):
        for name, text in (("vendor", "0x10de\n"), ("class", "0x030200\n")):
            write(tmp_path / f"sys/bus/pci/devices/0000:0{number}:00.0/{name}", text)
        information = f"Model: \t\t NVIDIA A100\nDevice Minor: \t {number - 1}\n"
        write(tmp_path / f"proc/driver/nvidia/gpus/0000:0{number}:00.0/information", information)
    write(tmp_path / "sys/bus/pci/devices/0000:00:01.0/vendor", "0x8086\n")
    write(tmp_path / "proc/driver/nvidia/version", VERSION)
    write(tmp_path / "proc/driver/nvidia/params", "DeviceFileUID: 0\nDeviceFileMode: 432\nModifyDeviceFiles: 1\n")
    write(tmp_path / "usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05")
    for name in ("nvidiactl", "nvidia-uvm", "nvidia0", "nvidia1"):
        write(tmp_path / "dev" / name)
    monkeypatch.setattr(driver, "kernel_log", lambda: ("", ""))
    monkeypatch.setattr(driver, "toolkits", lambda _root: [])
    return tmp_path


def test_healthy_host_passes(root: Path) -> None:
    """Versions agree, and all nodes can be opened."""
    state = driver.read(root)
    assert (state.on_bus, state.loaded, state.flavour, state.userland) == (2, "580.95.05", "open", "580.95.05")
    checks = {
        each["name"]: each for each in driver.checks(state, Reading("NVML", "580.95.05", "13.0", [gpu(), gpu(1)]), 2)
    }
    assert [checks[name]["status"] for name in ("driver.versions", "driver.nodes", "driver.log")] == [PASSED] * 3
    assert "the module's own mode is 0660" in checks["driver.nodes"]["reason"]


@pytest.mark.parametrize(
    ("plan", "status", "words"),
    [
        (["GPUs    2 x h100", "action  keep", "branch  R580"], "passed", "GPUs 2 x h100; action keep; branch R580"),
        (
            ["GPUs    1 x k80", "PROBLEM no driver of Debian 12 supports k80"],
            "failed",
            "no driver of Debian 12 supports k80",
        ),
        ([], "skipped", "--plan"),
    ],
)
def test_driver_plan_is_reported(plan: list[str], status: str, words: str) -> None:
    """As the playbook gives it; a plan that cannot be applied is a failure."""
    result = driver.planned(plan, 2)
    assert result["status"] == status
    assert words in result["reason"]
    assert driver.planned(plan, 0, "no GPU")["status"] == "skipped"


def test_gpu_without_a_driver_is_named(root: Path) -> None:
    """With the role that installs one."""
    (root / "proc/driver/nvidia/version").unlink()
    state = driver.read(root)
    first, second, *_ = driver.checks(state, Reading("NVML", error="no driver"), 2)
    assert (first["status"], second["status"]) == (FAILED, SKIPPED)
    assert "2 NVIDIA GPUs are on the PCI bus, and no NVIDIA driver is loaded" in first["reason"]
    assert "nvidia_driver" in first["reason"]


def test_container_without_the_drivers_directory_is_no_host_without_a_driver(root: Path) -> None:
    """The driver answers; only its versions cannot be compared, and the nodes are those that exist."""
    shutil.rmtree(root / "proc/driver/nvidia")
    reading = Reading("NVML", "580.95.05", "13.0", [gpu(), gpu(1)])
    first, second, *_ = driver.checks(driver.read(root), reading, 2)
    assert (first["status"], second["status"]) == (NOT_SUPPORTED, PASSED)
    assert "driver 580.95.05 answers to NVML" in first["reason"]
    (root / "dev/nvidia1").unlink()
    too_few = driver.checks(driver.read(root), reading, 2)[1]
    assert "the driver serves 2 GPUs, and has 1 device nodes" in too_few["reason"]


def test_libraries_of_another_version_are_named(root: Path) -> None:
    """As after an update without a restart."""
    write(root / "usr/lib/x86_64-linux-gnu/libcuda.so.580.126.09")
    verdict = driver.versions(driver.read(root), Reading("NVML"), 2)
    assert verdict["status"] == FAILED
    assert "module has version 580.95.05, and the libraries have 580.126.09. Restart" in verdict["reason"]


def test_missing_nodes_are_named_with_the_command(root: Path) -> None:
    """The driver is loaded, and nothing has made its nodes."""
    (root / "dev/nvidia1").unlink()
    (root / "dev/nvidia-uvm").unlink()
    verdict = driver.nodes(driver.read(root), 2, 2)
    assert verdict["status"] == FAILED
    assert "/dev/nvidia-uvm, /dev/nvidia1 does not exist. As root: nvidia-modprobe -c 0 -u" in verdict["reason"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mknod needs root")
def test_node_that_no_driver_serves_is_named(root: Path) -> None:
    """A node of NVIDIA's major number gives ENXIO; a container's device rules or mount options may answer first."""
    path = root / "dev/nvidia0"
    path.unlink()
    os.mknod(path, stat.S_IFCHR, os.makedev(195, 0))
    path.chmod(0o660)
    verdict = driver.nodes(driver.read(root), 2, 2)
    assert verdict["status"] == FAILED
    words = r"(no driver serves it|blocked by the device rules of a cgroup|no permission)"
    assert re.fullmatch(rf"this user cannot open /dev/nvidia0 \(mode 0660\): {words}", verdict["reason"])


def test_node_without_permission_is_named() -> None:
    """With its mode."""
    state = Driver(1, "580", nodes=[Node("nvidiactl", True, "0666"), Node("nvidia0", True, "0660", "no permission")])
    verdict = driver.nodes(state, 1, 2)
    assert verdict["status"] == FAILED
    assert verdict["reason"] == "this user cannot open /dev/nvidia0 (mode 0660): no permission"


def test_closed_file_has_no_permission(tmp_path: Path) -> None:
    """As an ordinary user."""
    path = tmp_path / "nvidia0"
    path.touch(mode=0o000)
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        assert driver.open_error(path) == "no permission"
    finally:
        os.seteuid(was)


@pytest.mark.parametrize(
    ("installed", "cuda", "status", "words"),
    [
        ([], "13.0", SKIPPED, "no nvcc"),
        (["13.0"], "", SKIPPED, "is not known"),
        (["12.4", "13.0"], "12.9", FAILED, "nvcc 13.0 is newer than the CUDA 12.9 of the driver"),
        (["13.2"], "13.0", PASSED, "PTX does not"),
        (["12.4"], "13.0", PASSED, "carries CUDA 13.0"),
        (["12.10"], "12.9", PASSED, "newer minor version"),
    ],
)
def test_toolkit_is_compared_with_the_driver(installed: list[str], cuda: str, status: str, words: str) -> None:
    """A newer major version cannot run at all."""
    verdict = driver.toolkit(installed, cuda, 2)
    assert verdict["status"] == status
    assert words in verdict["reason"]


def test_nvcc_is_found_by_its_own_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the search path and below /usr/local; one that does not run is not counted."""
    monkeypatch.setenv("PATH", "/bin:/usr/bin")
    for name, text in (("cuda-12.4", "echo release 12.4, V12.4.131"), ("cuda-13.0", "exit 1")):
        path = tmp_path / f"usr/local/{name}/bin/nvcc"
        write(path, f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    assert driver.toolkits(tmp_path) == ["12.4"]


XID = "NVRM: Xid (PCI:0000:01:00): {}, pid=1, name=python3"


@pytest.mark.parametrize(
    ("numbers", "status", "words"),
    [
        ([], PASSED, "has no XID error"),
        ([31, 31], PASSED, "only errors of programs in the kernel's log: XID 31 (a program read or wrote"),
        ([13, 79], FAILED, "XID 79 (the GPU has fallen off the bus), 1 times"),
        ([777], FAILED, "see the XID list"),
    ],
)
def test_errors_of_the_kernels_log_are_in_words(numbers: list[int], status: str, words: str) -> None:
    """Faults of programs are no faults of the host."""
    verdict = driver.log(Driver(log="\n".join(XID.format(number) for number in numbers)), 2)
    assert verdict["status"] == status
    assert words in verdict["reason"]


def test_closed_log_is_not_a_healthy_one() -> None:
    """An ordinary user may not read it."""
    verdict = driver.log(Driver(log_error="Operation not permitted"), 2)
    assert verdict["status"] == NOT_SUPPORTED
    assert "Operation not permitted" in verdict["reason"]
