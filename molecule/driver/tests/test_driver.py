# SPDX-License-Identifier: GPL-3.0-or-later
"""A host after the role: a module that was built there, its libraries, and their pinned version."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.nvml import build as nvml
from tests.support.paths import ROOT


def load(path: Path) -> Any:
    """Return a file of the checkout as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


models = load(ROOT / "plugins" / "module_utils" / "gpu" / "models.py")
versions = load(ROOT / "plugins" / "module_utils" / "gpu" / "versions.py")

RECORD = "/var/lib/gpulab/driver.json"


@pytest.fixture(scope="module")
def record(host: Any) -> dict[str, Any]:
    """Return the role's record of the installed driver."""
    return dict(json.loads(host.file(RECORD).content_string))


@contextmanager
def borrowed(host: Any, name: str) -> Iterator[None]:
    """Install a package for the duration of the block, then remove it and its dependencies."""
    listed = "dpkg-query --show --showformat '${Package}\\n'"
    quiet = "env DEBIAN_FRONTEND=noninteractive apt-get --quiet --quiet --yes"
    before = set(host.check_output(listed).split())
    host.check_output(f"{quiet} --no-install-recommends install {name} >/dev/null 2>&1")
    yield
    added = set(host.check_output(listed).split()) - before
    host.check_output(f"{quiet} purge {' '.join(sorted(added))} >/dev/null 2>&1")


@pytest.fixture(scope="module")
def module(host: Any) -> dict[str, str]:
    """Return modinfo's fields of the module for the kernel with headers."""
    path = host.check_output("find /lib/modules -name 'nvidia-current.ko*' | head -n 1")
    lines = (line.partition(":") for line in host.check_output(f"/sbin/modinfo {path}").splitlines())
    return {key: value.strip() for key, _, value in lines}


def test_module_was_built_as_recorded(module: dict[str, str], record: dict[str, Any]) -> None:
    """By DKMS: the proprietary module of the planned version."""
    assert record["version"].startswith(module["version"])
    assert module["license"] == "NVIDIA"
    assert (record["source"], record["branch"], record["flavour"]) == ("distro", 535, "proprietary")


def test_module_is_signed(module: dict[str, str]) -> None:
    """By the key that DKMS created for this host."""
    assert "DKMS" in module["signer"]
    assert module["sig_hashalgo"] == "sha256"


def test_module_fits_its_kernel(host: Any, module: dict[str, str]) -> None:
    """The kernel of the installed headers, not the running one."""
    assert module["vermagic"].split()[0] in host.check_output("ls /lib/modules").split()
    assert module["vermagic"].split()[0] != host.check_output("uname -r")


def test_libraries_have_the_modules_version(host: Any, module: dict[str, str]) -> None:
    """All parts have one version."""
    for name in ("libcuda", "libnvidia-ml"):
        assert host.run(f"ls /usr/lib/x86_64-linux-gnu/nvidia/current/{name}.so.{module['version']}").rc == 0


def test_headers_of_the_next_kernel_are_installed_with_it(host: Any) -> None:
    """The metapackage is installed: the next kernel gets its module, too."""
    assert host.package("linux-headers-amd64").is_installed


def test_every_package_of_the_closure_is_pinned(host: Any, record: dict[str, Any]) -> None:
    """All packages of the driver's version are kept at it, with a priority above that of every archive."""
    version = record["version"]
    for name in [name for name in record["added"] if "nvidia" in name or name == "libcuda1"]:
        if host.package(name).version == version:
            assert " 1001" in host.check_output(f"apt-cache policy {name}"), name


def test_unattended_upgrades_skip_the_driver(host: Any) -> None:
    """As apt reads its configuration."""
    blacklist = host.check_output("apt-config dump Unattended-Upgrade::Package-Blacklist")
    assert all(f'"{name}"' in blacklist for name in ("nvidia-", "libnvidia-", "libcuda1", "firmware-nvidia-"))


def test_nouveau_is_blocked(host: Any) -> None:
    """As modprobe reads its configuration."""
    assert "blacklist nouveau" in host.check_output("/sbin/modprobe --showconfig").splitlines()


@pytest.mark.parametrize(
    "unit", ["gpulab-driver-check.service", "gpulab-driver-check.path", "gpulab-driver-nodes.service"]
)
def test_units_are_valid_and_start_at_boot(host: Any, unit: str) -> None:
    """systemd-analyze reports no problem."""
    assert host.service(unit).is_enabled
    done = host.run(f"systemd-analyze verify --man=no /etc/systemd/system/{unit}")
    assert not [line for line in done.stderr.splitlines() if "gpulab" in line], done.stderr


def test_no_unit_failed(host: Any) -> None:
    """No unit fails because a container cannot load the driver."""
    assert "nvidia" not in host.check_output("systemctl list-units --failed --plain --no-legend")


def test_unmodified_nvidia_smi_works_with_the_mock(host: Any) -> None:
    """Debian's own program with the mock library lists GPUs called (MOCK)."""
    directory = "/tmp/nvml"  # noqa: S108
    host.check_output(f"mkdir -p {directory}")
    for name in ("mock.c", "build.py"):
        text = (nvml.SOURCE.parent / name).read_text(encoding="utf-8")
        host.check_output("printf '%%s' %s > %s", text, f"{directory}/{name}")
    program = host.check_output("readlink -f /usr/bin/nvidia-smi")
    assert host.run(f"dpkg --verify $(dpkg -S {program} | cut -d: -f1)").stdout == ""
    with borrowed(host, "libc6-dev"):
        host.check_output(f"python3 {directory}/build.py {program} {directory}/lib")
    listed = host.check_output(f"LD_LIBRARY_PATH={directory}/lib GPULAB_MOCK_GPUS=3 {program} -L").splitlines()
    host.check_output(f"rm -r {directory}")
    assert len(listed) == 3
    assert all("(MOCK)" in line for line in listed)


def test_without_the_mock_there_is_no_gpu(host: Any) -> None:
    """The mock is not installed on the host: the driver is installed and has no GPU."""
    done = host.run("nvidia-smi")
    assert done.rc == 9
    assert "MOCK" not in done.stdout


DISAGREES = {"1bb3", "13bd"}
"""P4 and M10: nvidia-detect wrongly sends them to the 470 series; NVIDIA's own lists have them up to R580."""


ORACLE = {
    "1eb8": "supported by all driver versions",
    "1db1": "supported by all driver versions",
    "20b0": "supported by all driver versions",
    "27b8": "supported by the default drivers",
    "102d": "Tesla 470",
    "2901": "not supported by any driver version up to 535",
    "2941": "not supported by any driver version up to 535",
    "2bb5": "not supported by any driver version up to 535",
}
"""The output of nvidia-detect for T4, V100, A100, L4, K80, B200, GB200 and RTX PRO 6000."""


def test_debian_agrees_with_the_table(host: Any) -> None:
    """Debian's lists of the GPUs that its drivers support agree with the table, id by id."""
    with borrowed(host, "nvidia-detect"):
        lists = {
            name: host.check_output(f"cat /usr/share/nvidia/{name}.ids").lower().split()
            for name in ("nvidia", "nvidia-tesla-470", "nvidia-open")
        }
        outputs = {number: host.run(f"nvidia-detect 10de{number}").stdout for number in ORACLE}
    newest = (535, 309)
    wrong = []
    for model in models.MODELS:
        for number in (pci_id.replace(":", "") for pci_id in model.pci_ids):
            supported = versions.numbers(model.min_driver or "0") <= newest and (model.last_driver_branch or 999) >= 535
            if number[4:] not in DISAGREES and (number in lists["nvidia"]) is not supported:
                wrong.append((model.name, number, supported))
            if number in lists["nvidia-open"] and models.OPEN not in model.kernel_modules:
                wrong.append((model.name, number, "open"))
            if model.architecture == "Kepler" and number not in lists["nvidia-tesla-470"]:
                wrong.append((model.name, number, "470"))
    assert wrong == []
    assert [number for number, text in ORACLE.items() if text not in outputs[number]] == [], outputs


def test_mock_implements_its_main_functions() -> None:
    """Functions that its source does not define are only declined."""
    assert {"nvmlInit_v2", "nvmlDeviceGetName", "nvmlDeviceGetMemoryInfo"} <= nvml.implemented()
