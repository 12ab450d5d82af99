# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates and private variables of the role, rendered without a host."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tests.support.paths import ROOT

ROLE = ROOT / "roles" / "nvidia_driver"
NAMES = ["libcuda1", "nvidia-smi"]


def render(template: str, **variables: Any) -> str:
    """Return a template of the role with these variables."""
    text = trust_as_template((ROLE / "templates" / template).read_text(encoding="utf-8"))
    return str(Templar(loader=DataLoader(), variables=variables).template(text, escape_backslashes=False))


def preferences(version: str, uses_repository: bool) -> str:
    """Return the apt preferences for a driver version."""
    return render(
        "gpulab-nvidia.pref.j2",
        __nvidia_driver_closure=["nvidia-smi"],
        __nvidia_driver_plan={"names": ["libcuda1"]},
        __nvidia_driver_chosen_version=version,
        __nvidia_driver_uses_repository=uses_repository,
        nvidia_driver_repository="https://vendor.example/cuda",
    )


def test_preferences_pin_the_closure_of_the_distributions_driver() -> None:
    """At one version, and no package from NVIDIA's repository."""
    text = preferences("535.309.01-0+deb12u1", uses_repository=False)
    assert "Pin: version /^([0-9]+:)?535\\.309\\.01([-+~].*)?$/\nPin-Priority: 1001" in text
    assert "Pin: origin vendor.example\nPin-Priority: -1" in text
    assert "release o=" not in text


def test_preferences_pin_the_closure_of_nvidias_driver() -> None:
    """At one version without its epoch, no package from the distribution, all packages by name."""
    text = preferences("1:580.95.05-1", uses_repository=True)
    assert "?580\\.95\\.05([-+~]" in text
    for origin in ("Debian", "Ubuntu"):
        assert f"Pin: release o={origin}\nPin-Priority: -1" in text
    assert "Pin: origin" not in text
    packages = [line.split()[1:] for line in text.splitlines() if line.startswith("Package:")]
    assert packages == [NAMES] * 3
    assert "*" not in text.partition("Pin:")[0]


def test_missing_sources_become_entries_of_a_list() -> None:
    """With the host's own keyring where the entry has one."""
    sources = [
        {"uri": "http://m.example/debian", "suite": "bookworm", "components": ["contrib", "non-free"], "signed_by": ""},
        {"uri": "http://s.example/x", "suite": "sec", "components": ["contrib"], "signed_by": "/k.gpg"},
    ]
    text = render("gpulab-nvidia-archive.list.j2", __nvidia_driver_archive={"missing_sources": sources})
    assert text.splitlines()[1:] == [
        "deb http://m.example/debian bookworm contrib non-free",
        "deb [signed-by=/k.gpg] http://s.example/x sec contrib",
    ]


@pytest.mark.parametrize(
    ("system", "url"),
    [
        (("ubuntu", "24.04", "aarch64"), "https://vendor.example/repos/ubuntu2404/sbsa"),
        (("ubuntu", "22.04", "x86_64"), "https://vendor.example/repos/ubuntu2204/x86_64"),
        (("debian", "12", "x86_64"), "https://vendor.example/repos/debian12/x86_64"),
        (("debian", "13", "x86_64"), "https://vendor.example/repos/debian13/x86_64"),
    ],
)
def test_every_supported_system_has_a_repository_and_a_checksum(system: tuple[str, str, str], url: str) -> None:
    """Directories are named as in NVIDIA's repository."""
    constants = DataLoader().load_from_file(str(ROLE / "vars" / "main.yml"), trusted_as_template=True)
    variables = {
        **constants,
        "__nvidia_driver_host": {"system": dict(zip(("id", "version", "machine"), system, strict=True))},
        "nvidia_driver_repository": "https://vendor.example/repos/",
        "nvidia_driver_repository_key": "",
        "nvidia_driver_repository_key_sha256": "",
    }
    templar = Templar(loader=DataLoader(), variables=variables)

    def value(name: str) -> str:
        return str(templar.template(trust_as_template("{{ " + name + " }}")))

    assert value("__nvidia_driver_repository_url") == url
    assert value("__nvidia_driver_keyring_url") == f"{url}/cuda-keyring_1.1-1_all.deb"
    assert len(value("__nvidia_driver_keyring_sha256")) == 64
    variables["nvidia_driver_repository_key"] = "https://mirror.example/key.gpg"
    assert value("__nvidia_driver_keyring_sha256") == ""


def test_device_nodes_are_roots_under_every_name_of_the_module() -> None:
    """Parameters belong to the name under which a package loads the module; another one would be ignored."""
    private = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))
    text = render("gpulab-nvidia-devices.conf.j2", **{key: private[key] for key in ("__nvidia_driver_module_names",)})
    options = [line for line in text.splitlines() if line.startswith("options ")]
    assert {"nvidia", "nvidia-current", "nvidia-current-open"} <= {line.split()[1] for line in options}
    assert all(
        line.endswith("NVreg_DeviceFileUID=0 NVreg_DeviceFileGID=0 NVreg_DeviceFileMode=0660") for line in options
    )


@pytest.mark.parametrize(
    ("text", "mode"), [("", ""), ("DeviceFileUID: 0\nDeviceFileMode: 432\n", "432"), ("X: 1\n", "")]
)
def test_mode_of_the_loaded_module_is_read(text: str, mode: str) -> None:
    """A decimal number; empty without a loaded module."""
    private = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))
    parameters = {"content": base64.b64encode(text.encode()).decode()} if text else {"msg": "not found"}
    template = trust_as_template(private["__nvidia_driver_device_mode"])
    templar = Templar(loader=DataLoader(), variables={"__nvidia_driver_parameters": parameters})
    assert str(templar.template(template)) == mode
