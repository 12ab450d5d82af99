"""What gpu_info reads from a host, on recorded ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.gpulab.core.plugins.module_utils import gpu_host
from ansible_collections.gpulab.core.plugins.modules import gpu_info

Read = Callable[..., dict[str, Any]]


@pytest.fixture
def read(put: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> Read:
    """Run the module on a recorded host; kernel modules in it hold no more than their version."""

    def run(name: str, **options: Any) -> dict[str, Any]:
        tree = put(name)
        arguments = {"root": str(tree), "sysfs": str(tree / "sys"), "procfs": str(tree / "proc"), **options}
        before = sorted(tree.rglob("*"))

        def modinfo(_module: Any, path: Path) -> dict[str, str]:
            return {"version": path.read_text(), "license": "NVIDIA", "signer": "DKMS module signing key"}

        with patch_module_args(arguments), patch.object(gpu_info, "modinfo_of", modinfo), pytest.raises(SystemExit):
            gpu_info.main()
        assert sorted(tree.rglob("*")) == before, "a module that only reads has written"
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert found["changed"] is False
        return found

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
def test_host_is_read_as_it_is(read: Read, name: str) -> None:
    """Each kind of host, with what matters about it."""
    found = read(name)
    assert {key: found[key] for key in EXPECTED[name]} == EXPECTED[name]


def test_every_recorded_host_is_read(recorded: list[str]) -> None:
    """A record that nobody compares with anything proves nothing."""
    assert set(recorded) == set(EXPECTED)


def test_no_tool_of_the_host_is_needed(
    put: Callable[[str], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right without lspci, nvidia-smi, mokutil and modinfo: nothing is started at all."""
    tree = put("runfile")
    monkeypatch.setenv("PATH", str(tree))
    arguments = {"root": str(tree), "sysfs": str(tree / "sys"), "procfs": str(tree / "proc")}
    with (
        patch_module_args(arguments),
        patch.object(AnsibleModule, "get_bin_path", return_value=None),
        patch.object(AnsibleModule, "run_command", side_effect=AssertionError),
        pytest.raises(SystemExit),
    ):
        gpu_info.main()
    found = json.loads(capsys.readouterr().out)
    assert {key: found[key] for key in EXPECTED["runfile"]} == EXPECTED["runfile"]
    assert [gpu["model"] for gpu in found["gpus"]] == ["H100"] * 8


def test_only_nvidias_display_devices_are_gpus(read: Read) -> None:
    """Sound functions of the same card and other vendors' devices are not."""
    assert [gpu["model"] for gpu in read("bare T4")["gpus"]] == ["T4"]
    assert read("bare T4")["gpus"][0]["compute_capability"] == "7.5"


def test_requirements_of_all_gpus_are_intersected(read: Read) -> None:
    """A Volta takes the proprietary module alone, a Blackwell the open one alone: nothing is left."""
    found = read("Volta and Blackwell")["requirements"]
    assert found["kernel_modules"] == []
    assert (found["min_driver"], found["last_driver_branch"]) == ("575.51.03", 580)
    assert (found["lowest_compute_capability"], found["highest_compute_capability"]) == ("7.0", "12.0")


def test_unknown_gpu_is_named_and_not_guessed(read: Read) -> None:
    """An id that the table lacks claims nothing about itself."""
    found = read("unknown")
    assert found["gpus"] == [{"address": "0000:01:00.0", "device_id": "3f00", "model": "unknown"}]
    assert found["requirements"]["unknown"] == ["3f00"]
    assert found["requirements"]["kernel_modules"] == []


def test_kernels_without_headers_are_told_apart(read: Read) -> None:
    """The newest is the last, and is what the next boot takes."""
    assert [(kernel["release"], kernel["headers"]) for kernel in read("bare T4")["kernels"]] == [
        ("6.1.0-47-cloud-amd64", True),
        ("6.1.0-56-cloud-amd64", False),
    ]


def test_modules_are_found_under_every_name(read: Read) -> None:
    """Debian calls the main module nvidia-current; its helpers are not counted."""
    found = read("Debian driver")["modules"]["6.1.0-56-amd64"]
    assert [(module["path"].rpartition("/")[2], module["version"]) for module in found] == [
        ("nvidia-current.ko", "535.183.01")
    ]
    assert found[0]["signer"] == "DKMS module signing key"


def test_expected_gpus_count_only_where_the_bus_has_none(read: Read) -> None:
    """An image can be made for a GPU elsewhere; a real GPU is never overruled."""
    assert [gpu["model"] for gpu in read("no GPU", expected=["10DE:1EB8", "27b8"])["gpus"]] == ["T4", "L4"]
    assert [gpu["device_id"] for gpu in read("unknown", expected=["1eb8"])["gpus"]] == ["3f00"]


def test_processes_that_compute_are_named(tmp_path: Path) -> None:
    """Who holds a GPU open counts; who only manages it, or only asks the control node, does not."""
    for pid, name, node in (
        ("12", "python3", "/dev/nvidia0"),
        ("13", "nvidia-persiste", "/dev/nvidia0"),
        ("14", "sh", "/dev/nvidiactl"),
    ):
        (tmp_path / pid / "fd").mkdir(parents=True)
        (tmp_path / pid / "comm").write_text(name + "\n")
        (tmp_path / pid / "fd" / "3").symlink_to(node)
    found = gpu_host.processes(tmp_path)
    assert [(entry["pid"], entry["name"]) for entry in found] == [(12, "python3")]
    assert found[0]["user"]


def test_host_without_any_file_is_read_too(tmp_path: Path) -> None:
    """A container may lack dpkg's record, modinfo and the kernel's files."""
    assert gpu_host.packages(tmp_path) == {}
    assert gpu_host.modules(tmp_path, lambda _path: {}) == {}
    assert gpu_host.kind(tmp_path, tmp_path, {}) == "none"


def test_headers_count_when_their_link_leads_somewhere(tmp_path: Path) -> None:
    """Debian's headers lie in /usr/src; a kernel that was removed leaves a link to nowhere."""
    directory = tmp_path / "lib" / "modules" / "6.1.0-56-amd64"
    directory.mkdir(parents=True)
    (directory / "build").symlink_to("/usr/src/linux-headers-6.1.0-56-amd64")
    assert gpu_host.kernels(tmp_path) == []
    (tmp_path / "usr" / "src" / "linux-headers-6.1.0-56-amd64").mkdir(parents=True)
    (tmp_path / "usr" / "src" / "linux-headers-6.1.0-56-amd64" / "Makefile").touch()
    assert gpu_host.kernels(tmp_path) == [{"release": "6.1.0-56-amd64", "installed": False, "headers": True}]


def test_module_says_what_is_wrong_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt option is rejected by name."""
    with patch_module_args({"sysf": "/sys"}), pytest.raises(SystemExit):
        gpu_info.main()
    assert "sysf" in json.loads(capsys.readouterr().out)["msg"]
