# SPDX-License-Identifier: GPL-3.0-or-later
"""The module gpu_info on recorded hosts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpulab.core.plugins.modules import gpu_info
from tests.unit.plugins.modules.recorded_gpu_hosts import HOSTS, write_host

Read = Callable[..., dict[str, Any]]


def run_module(arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Run the module and return its result."""
    with patch_module_args(arguments), pytest.raises(SystemExit):
        gpu_info.main()
    return dict(json.loads(capsys.readouterr().out))


def paths(tree: Path) -> dict[str, Any]:
    """Return the options that make the module read a recorded host."""
    return {"root": str(tree), "sysfs": str(tree / "sys"), "procfs": str(tree / "proc")}


def modinfo(_module: Any, path: Path) -> dict[str, str]:
    """Return what modinfo would: the files of recorded kernel modules contain their version."""
    return {"version": path.read_text(), "license": "NVIDIA", "signer": "DKMS module signing key"}


@pytest.fixture
def read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Read:
    """Return a function that runs the module on a recorded host."""

    def run(name: str, **options: Any) -> dict[str, Any]:
        tree = write_host(tmp_path, name)
        before = sorted(tree.rglob("*"))
        with patch.object(gpu_info, "modinfo", modinfo):
            result = run_module({**paths(tree), **options}, capsys)
        assert sorted(tree.rglob("*")) == before, "a module that only reads has written"
        assert result["changed"] is False
        return result

    return run


EXPECTED: dict[str, dict[str, Any]] = {
    "no GPU": {"gpus": [], "driver_version": "", "driver_kind": "none", "fabric": "none", "processes": []},
    "bare T4": {
        "driver_kind": "none",
        "boot_kernel": "6.1.0-56-cloud-amd64",
        "secure_boot": "disabled",
        "virtualization": "google",
        "container": "",
        "nouveau_loaded": False,
        "nouveau_blocked": False,
    },
    "Debian driver": {
        "driver_version": "535.183.01",
        "driver_flavour": "proprietary",
        "driver_kind": "package",
        "userland_version": "535.183.01",
        "nouveau_blocked": True,
        "secure_boot": "none",
        "packages": {
            "libcuda1": {"version": "535.183.01-1~deb12u1", "state": "installed"},
            "nvidia-kernel-dkms": {"version": "535.183.01-1~deb12u1", "state": "installed"},
        },
        "dkms": [{"name": "nvidia-current", "version": "535.183.01", "built": ["6.1.0-56-amd64"], "errors": []}],
    },
    "failed build": {
        "driver_version": "",
        "packages": {"nvidia-open-kernel-dkms": {"version": "550.163.01-2", "state": "half-configured"}},
        "dkms": [
            {
                "name": "nvidia-current-open",
                "version": "550.163.01",
                "built": [],
                "errors": ["nvidia/nv-pci.c:237:9: error: too few arguments to function 'pci_resize_resource'"],
            }
        ],
    },
    "runfile": {
        "driver_kind": "runfile",
        "driver_version": "580.159.04",
        "driver_flavour": "open",
        "userland_version": "580.178.04",
        "fabric": "nvswitch",
        "fabric_manager_version": "580.159.04",
        "secure_boot": "enabled",
    },
    "injected": {"driver_kind": "injected", "container": "docker", "driver_version": "580.159.04", "boot_kernel": ""},
    "unknown": {"nouveau_loaded": True, "virtualization": "none"},
    "Volta and Blackwell": {"driver_kind": "none"},
    "GB200": {"fabric": "rack"},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_facts_of_every_recorded_host(read: Read, name: str) -> None:
    """The facts that distinguish the host."""
    result = read(name)
    assert {key: result[key] for key in EXPECTED[name]} == EXPECTED[name]


def test_every_recorded_host_has_expected_facts() -> None:
    """A recorded host without expectations tests nothing."""
    assert set(HOSTS) == set(EXPECTED)


def test_no_program_of_the_host_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The facts are right without lspci, nvidia-smi, mokutil and modinfo: no program is started."""
    tree = write_host(tmp_path, "runfile")
    monkeypatch.setenv("PATH", str(tree))
    with (
        patch.object(AnsibleModule, "get_bin_path", return_value=None),
        patch.object(AnsibleModule, "run_command", side_effect=AssertionError),
        patch("subprocess.run", side_effect=AssertionError),
    ):
        result = run_module(paths(tree), capsys)
    assert {key: result[key] for key in EXPECTED["runfile"]} == EXPECTED["runfile"]
    assert [gpu["model"] for gpu in result["gpus"]] == ["H100"] * 8


def test_modinfo_has_a_time_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hanging modinfo is ended: the module is reported without its fields, with a warning."""
    program = tmp_path / "modinfo"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(AnsibleModule, "get_bin_path", lambda *_arguments, **_options: str(program))
    monkeypatch.setattr(gpu_info, "MODINFO_SECONDS", 1)
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    result = run_module(paths(write_host(tmp_path / "host", "Debian driver")), capsys)
    assert [module["version"] for module in result["modules"]["6.1.0-56-amd64"]] == [""]
    assert len(warnings) == 1
    assert "took longer than 1 seconds" in warnings[0]


def test_reboot_reasons_are_returned(read: Read) -> None:
    """The loaded module and the module on the disk have the same version; a host without a driver has no reason."""
    assert read("Debian driver")["reboot_reasons"] == []
    assert read("bare T4")["reboot_reasons"] == []


def test_only_nvidias_display_devices_are_gpus(read: Read) -> None:
    """Sound functions of the same card and other vendors' devices are not."""
    assert [gpu["model"] for gpu in read("bare T4")["gpus"]] == ["T4"]
    assert read("bare T4")["gpus"][0]["compute_capability"] == "7.5"


def test_requirements_of_all_gpus_are_intersected(read: Read) -> None:
    """A Volta takes the proprietary module alone, a Blackwell the open one alone: nothing is left."""
    result = read("Volta and Blackwell")["requirements"]
    assert result["kernel_modules"] == []
    assert (result["min_driver"], result["last_driver_branch"]) == ("575.51.03", 580)
    assert (result["lowest_compute_capability"], result["highest_compute_capability"]) == ("7.0", "12.0")


def test_unknown_gpu_is_named_and_not_guessed(read: Read) -> None:
    """A device id that the table lacks has no properties."""
    result = read("unknown")
    assert result["gpus"] == [{"address": "0000:01:00.0", "device_id": "3f00", "model": "unknown"}]
    assert result["requirements"]["unknown"] == ["3f00"]
    assert result["requirements"]["kernel_modules"] == []


def test_kernels_without_headers_are_told_apart(read: Read) -> None:
    """The newest is the last: the next boot starts it."""
    assert [(kernel["release"], kernel["headers"]) for kernel in read("bare T4")["kernels"]] == [
        ("6.1.0-47-cloud-amd64", True),
        ("6.1.0-56-cloud-amd64", False),
    ]


def test_modules_are_found_under_every_name(read: Read) -> None:
    """Debian calls the main module nvidia-current; its helpers are not counted."""
    result = read("Debian driver")["modules"]["6.1.0-56-amd64"]
    assert [(module["path"].rpartition("/")[2], module["version"]) for module in result] == [
        ("nvidia-current.ko", "535.183.01")
    ]
    assert result[0]["signer"] == "DKMS module signing key"


def test_expected_gpus_count_only_where_the_bus_has_none(read: Read) -> None:
    """An image can be built for a GPU elsewhere; a real GPU is never replaced."""
    assert [gpu["model"] for gpu in read("no GPU", expected=["10DE:1EB8", "27b8"])["gpus"]] == ["T4", "L4"]
    assert [gpu["device_id"] for gpu in read("unknown", expected=["1eb8"])["gpus"]] == ["3f00"]


def test_unknown_option_is_rejected_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """The message contains the misspelt option."""
    assert "sysf" in run_module({"sysf": "/sys"}, capsys)["msg"]
