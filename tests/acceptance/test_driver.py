"""The NVIDIA driver on a host that has a GPU. Without a loaded driver nothing is proven, and each check says so."""

from __future__ import annotations

import re
from typing import Any

import pytest


@pytest.fixture(scope="module")
def loaded(host: Any, gpus: list[str]) -> str:
    """Give the version of the loaded module."""
    text = host.file("/proc/driver/nvidia/version").content_string
    found = re.search(r"Kernel Module(?: for \S+)?\s+(\d+(?:\.\d+)+)", text)
    assert found, text
    return found[1]


def test_nvidia_smi_sees_every_gpu_and_none_is_a_mock(host: Any, gpus: list[str]) -> None:
    """As many as the driver serves, by their real names."""
    listed = host.check_output("nvidia-smi --list-gpus").splitlines()
    assert len(listed) == len(gpus)
    assert not any("MOCK" in line for line in listed)


def test_libraries_are_the_loaded_modules(host: Any, loaded: str) -> None:
    """Else every new program ends with "Driver/library version mismatch"."""
    said = host.check_output("nvidia-smi --query-gpu=driver_version --format=csv,noheader").split()
    assert set(said) == {loaded}


def test_free_driver_is_out_of_the_way(host: Any, gpus: list[str]) -> None:
    """Nouveau and NVIDIA's module exclude each other."""
    assert not host.file("/sys/module/nouveau").exists


def test_device_nodes_are_there(host: Any, gpus: list[str]) -> None:
    """Before anybody has used a GPU: who may open them is decided per user, and nobody but root can make them."""
    names = ["nvidiactl", "nvidia-uvm", *(f"nvidia{number}" for number in range(len(gpus)))]
    assert [name for name in names if not host.file(f"/dev/{name}").exists] == []


def test_fabric_manager_is_the_drivers(host: Any, loaded: str) -> None:
    """Where GPUs are joined by NVSwitch, CUDA starts only with exactly this one."""
    if host.run("systemctl cat nvidia-fabricmanager.service").rc != 0:
        pytest.skip("no fabric manager is installed: the GPUs of this host are not joined by NVSwitch")
    assert host.service("nvidia-fabricmanager").is_running
    assert loaded in host.check_output("nv-fabricmanager --version")
