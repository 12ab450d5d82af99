# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian 13's own packages: a module that does not build for its kernel, and one that does."""

from __future__ import annotations

from tests.integration.driver.conftest import DriverHost

DISTRO = {"nvidia_driver_source": "distro"}


def test_failed_open_module_reports_the_compilers_errors(trixie: DriverHost) -> None:
    """NVIDIA/open-gpu-kernel-modules#1272: this test fails as soon as Debian's open module builds again."""
    done = trixie.apply(**DISTRO, nvidia_driver_flavour="open")
    assert done.code != 0
    assert "error:" in done.text
    assert "pci_resize_resource" in done.text
    assert "the host was not restarted" in done.text
    assert "Traceback" not in done.text
    facts = trixie.facts()
    assert (facts["packages"], facts["managed"], facts["dkms"]) == ({}, {}, [])
    assert "whole" in trixie.ssh('test -z "$(dpkg --audit)" && echo whole')
    assert trixie.added() == set()
    assert not trixie.initramfs_blocks_nouveau()


def test_proprietary_module_builds_and_is_signed(trixie: DriverHost) -> None:
    """For the boot kernel, with libraries of the same version; only apt rebuilds the initramfs."""
    log = "grep --count 'update-initramfs: Generating' /var/log/apt/term.log"
    counted = trixie.rebuilds() - int(trixie.ssh(log))
    done = trixie.apply(**DISTRO)
    assert done.code == 0, done.output[-4000:]
    facts = trixie.facts()
    modules = [module for kernel in facts["modules"].values() for module in kernel]
    assert [(module["flavour"], module["version"]) for module in modules] == [
        ("proprietary", facts["userland_version"])
    ]
    assert "DKMS" in modules[0]["signer"]
    assert facts["managed"]["branch"] == 550
    assert trixie.initramfs_blocks_nouveau()
    assert trixie.rebuilds() - int(trixie.ssh(log)) == counted


def test_second_run_changes_nothing(trixie: DriverHost) -> None:
    """It works without package sources."""
    trixie.ssh("mv /etc/apt/sources.list /etc/apt/sources.list.away")
    done = trixie.apply(**DISTRO)
    trixie.ssh("mv /etc/apt/sources.list.away /etc/apt/sources.list")
    assert (done.code, done.changed) == (0, 0), done.output[-3000:]


def test_certificate_is_exported_for_secure_boot(trixie: DriverHost) -> None:
    """The public key of the module's signature, in the format of mokutil."""
    assert trixie.apply(**DISTRO, nvidia_driver_secure_boot="own_key").code == 0
    text = trixie.ssh("openssl x509 -inform der -in /etc/gpulab/driver-signing.der -noout -subject")
    assert "DKMS" in text, text


def test_uninstall_leaves_nothing(trixie: DriverHost) -> None:
    """No package, no file, no key of DKMS."""
    done = trixie.apply(**DISTRO, nvidia_driver_state="absent")
    assert done.code == 0, done.output[-4000:]
    assert trixie.added() == set()
    assert not trixie.initramfs_blocks_nouveau()
