"""Debian 13's own packages, really built: one module that does not build for its kernel, and one that does."""

from __future__ import annotations

from tests.integration.driver.conftest import DriverHost

DISTRO = {"nvidia_driver_source": "distro"}


def test_open_module_fails_in_the_compilers_words(trixie: DriverHost) -> None:
    """NVIDIA/open-gpu-kernel-modules#1272: when Debian's open module builds again, this test says so."""
    done = trixie.apply(**DISTRO, nvidia_driver_flavour="open")
    assert done.code != 0
    assert "error:" in done.text
    assert "pci_resize_resource" in done.text
    assert "the host was not restarted" in done.text
    assert "Traceback" not in done.text
    facts = trixie.facts()
    assert (facts["packages"], facts["managed"], facts["dkms"]) == ({}, {}, [])
    assert "whole" in trixie.ssh('test -z "$(dpkg --audit)" && echo whole')
    assert trixie.left() == set()
    assert not trixie.nouveau_is_out_of_the_initramfs()


def test_proprietary_module_builds_and_is_signed(trixie: DriverHost) -> None:
    """For the kernel that would boot, with libraries of the same version; only apt rebuilds the initramfs."""
    log = "grep --count 'update-initramfs: Generating' /var/log/apt/term.log"
    counted = trixie.rebuilds() - int(trixie.ssh(log))
    done = trixie.apply(**DISTRO)
    assert done.code == 0, done.output[-4000:]
    facts = trixie.facts()
    found = [module for kernel in facts["modules"].values() for module in kernel]
    assert [(module["flavour"], module["version"]) for module in found] == [("proprietary", facts["userland_version"])]
    assert "DKMS" in found[0]["signer"]
    assert facts["managed"]["branch"] == 550
    assert trixie.nouveau_is_out_of_the_initramfs()
    assert trixie.rebuilds() - int(trixie.ssh(log)) == counted


def test_second_run_changes_nothing(trixie: DriverHost) -> None:
    """And does not ask the network for anything."""
    trixie.ssh("mv /etc/apt/sources.list /etc/apt/sources.list.away")
    done = trixie.apply(**DISTRO)
    trixie.ssh("mv /etc/apt/sources.list.away /etc/apt/sources.list")
    assert (done.code, done.changed) == (0, 0), done.output[-3000:]


def test_certificate_is_exported_where_secure_boot_wants_one(trixie: DriverHost) -> None:
    """The public half of the key that signed the module, in the form that mokutil takes."""
    assert trixie.apply(**DISTRO, nvidia_driver_secure_boot="own_key").code == 0
    text = trixie.ssh("openssl x509 -inform der -in /etc/gpulab/driver-signing.der -noout -subject")
    assert "DKMS" in text, text


def test_uninstall_leaves_nothing(trixie: DriverHost) -> None:
    """The packages clean up after themselves, the role after itself and after DKMS."""
    done = trixie.apply(**DISTRO, nvidia_driver_state="absent")
    assert done.code == 0, done.output[-4000:]
    assert trixie.left() == set()
    assert not trixie.nouveau_is_out_of_the_initramfs()
