# SPDX-License-Identifier: GPL-3.0-or-later
"""The NVIDIA driver on a host that has a GPU. Without a loaded driver every test is skipped."""

from __future__ import annotations

import re
from typing import Any

import pytest


@pytest.fixture(scope="module")
def loaded(host: Any, gpus: list[str]) -> str:
    """Return the version of the loaded module."""
    text = host.file("/proc/driver/nvidia/version").content_string
    found = re.search(r"Kernel Module(?: for \S+)?\s+(\d+(?:\.\d+)+)", text)
    assert found, text
    return found[1]


def test_nvidia_smi_sees_every_gpu_and_none_is_a_mock(host: Any, gpus: list[str]) -> None:
    """It lists as many as the driver serves, by their real names."""
    listed = host.check_output("nvidia-smi --list-gpus").splitlines()
    assert len(listed) == len(gpus)
    assert not any("MOCK" in line for line in listed)


def test_libraries_are_the_loaded_modules(host: Any, loaded: str) -> None:
    """Else every new program ends with "Driver/library version mismatch"."""
    versions = host.check_output("nvidia-smi --query-gpu=driver_version --format=csv,noheader").split()
    assert set(versions) == {loaded}


def test_nouveau_is_not_loaded(host: Any, gpus: list[str]) -> None:
    """Nouveau and NVIDIA's module exclude each other."""
    assert not host.file("/sys/module/nouveau").exists


def test_device_nodes_are_there(host: Any, gpus: list[str]) -> None:
    """They exist before a GPU is used: access is granted per user, and only root can create them."""
    names = ["nvidiactl", "nvidia-uvm", *(f"nvidia{number}" for number in range(len(gpus)))]
    assert [name for name in names if not host.file(f"/dev/{name}").exists] == []


def test_fabric_manager_is_the_drivers(host: Any, loaded: str) -> None:
    """Where GPUs are joined by NVSwitch, CUDA starts only with exactly this one."""
    if host.run("systemctl cat nvidia-fabricmanager.service").rc != 0:
        pytest.skip("no fabric manager is installed: the GPUs of this host are not joined by NVSwitch")
    assert host.service("nvidia-fabricmanager").is_running
    assert loaded in host.check_output("nv-fabricmanager --version")
