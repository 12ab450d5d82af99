# SPDX-License-Identifier: GPL-3.0-or-later
"""A mock of NVIDIA's repository: versions, changes, failures, removal. In order, on one host."""

from __future__ import annotations

from pathlib import Path

from tests.integration.driver import vendor
from tests.integration.driver.conftest import DriverHost

LIBRARY = "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so."
PACKAGE = "nvidia-kernel-open-dkms"


def built(mirror: DriverHost) -> set[tuple[str, str]]:
    """Return versions and flavours of the modules for the kernel with headers."""
    facts = mirror.facts()
    return {(module["version"], module["flavour"]) for kernel in facts["modules"].values() for module in kernel}


def test_check_mode_prints_the_plan_and_changes_nothing(mirror: DriverHost) -> None:
    """On a host without a driver, and without a package source that has one."""
    before = mirror.state()
    done = mirror.apply("--check")
    assert done.code == 0, done.output[-3000:]
    for text in ("nvidia_repo", "R580", "nvidia-driver-pinning-580", PACKAGE, "1 x T4"):
        assert text in done.text
    assert done.changed == 1
    assert mirror.state() == before


def test_plan_playbook_prints_the_plan_and_changes_nothing(mirror: DriverHost) -> None:
    """playbooks/plan.yml prints the plan, and fails where no driver is possible."""
    group = ("--inventory", "tests/integration/driver/gpu_hosts.yml")
    before = mirror.state()
    done = mirror.play("playbooks/plan.yml", *group, **mirror.base)
    assert (done.code, done.changed) == (0, 0), done.output[-3000:]
    assert all(text in done.text for text in ("1 x T4", "nvidia_repo", "R580", "linux-headers-cloud-amd64"))
    mixed = mirror.play(
        "playbooks/plan.yml", *group, **{**mirror.base, "nvidia_driver_expected_gpus": ["1db1", "2901"]}
    )
    assert mixed.code != 0
    assert "no driver supports V100 (Volta) and B200 (Blackwell) in one host" in mixed.text
    assert mirror.state() == before


def test_host_without_a_valid_driver_is_rejected_before_a_change(mirror: DriverHost) -> None:
    """A Volta and a Blackwell: the message names both and the remedies."""
    before = mirror.state()
    done = mirror.apply(nvidia_driver_expected_gpus=["1db1", "2901"])
    assert (done.code != 0, done.changed) == (True, 0)
    assert "no driver supports V100 (Volta) and B200 (Blackwell) in one host: remove one of them" in done.text
    assert mirror.state() == before


def test_keyring_with_another_checksum_is_rejected(mirror: DriverHost) -> None:
    """The run stops before the key is installed."""
    done = mirror.apply(nvidia_driver_repository_key_sha256="0" * 64)
    assert done.code != 0
    assert "checksum" in done.text.lower()
    assert "gpulab-nvidia.sources" not in mirror.ssh("ls /etc/apt/sources.list.d/")
    assert mirror.facts()["packages"] == {}


def test_requested_version_is_installed_completely(mirror: DriverHost) -> None:
    """Module, libraries, pinning and record; the branch is pinned first."""
    counted = mirror.rebuilds()
    done = mirror.apply(nvidia_driver_version=vendor.GOOD)
    assert done.code == 0, done.output[-4000:]
    facts = mirror.facts()
    assert built(mirror) == {(vendor.GOOD, "open")}
    assert facts["userland_version"] == vendor.GOOD
    assert facts["managed"]["version"] == f"{vendor.GOOD}-1"
    assert all(entry["state"] == "installed" for entry in facts["packages"].values())
    assert facts["nouveau_blocked"]
    assert mirror.rebuilds() == counted + 1
    assert mirror.initramfs_blocks_nouveau()


def test_module_is_built_for_the_kernel_that_will_boot(mirror: DriverHost) -> None:
    """Not for the running one, which is the machine's; with headers of the installed and of the next kernel."""
    facts = mirror.facts()
    boot = facts["boot_kernel"]
    assert boot != facts["running_kernel"]
    assert [module["signer"] for module in facts["modules"][boot]] == ["DKMS module signing key"]
    installed = mirror.ssh("dpkg-query --show --showformat '${Package} ${db:Status-Status}\\n' 'linux-headers-*'")
    assert {f"linux-headers-{boot} installed", "linux-headers-cloud-amd64 installed"} <= set(installed.splitlines())


def test_second_run_changes_nothing(mirror: DriverHost) -> None:
    """Also without the option for the version: it is kept although newer ones are available."""
    assert (mirror.apply(nvidia_driver_version=vendor.GOOD).changed, mirror.apply().changed) == (0, 0)
    assert built(mirror) == {(vendor.GOOD, "open")}


def test_dist_upgrade_does_not_change_the_driver(mirror: DriverHost) -> None:
    """The whole closure is pinned, not only the named packages."""
    planned = mirror.ssh("apt-get --simulate dist-upgrade")
    assert "nvidia" not in planned, planned
    assert "libcuda1" not in planned, planned
    assert f"Candidate: {vendor.GOOD}-1" in mirror.ssh(f"apt-cache policy {PACKAGE}")
    blacklist = mirror.ssh("apt-config dump Unattended-Upgrade::Package-Blacklist")
    assert all(f'"{name}"' in blacklist for name in ("nvidia-", "libnvidia-", "libcuda1", "cuda-drivers"))


def test_distributions_driver_cannot_be_mixed_in(mirror: DriverHost) -> None:
    """Packages of the same names from other sources are blocked."""
    mirror.ssh(
        "sed -i 's/ main$/ main contrib non-free non-free-firmware/' /etc/apt/sources.list && apt-get --quiet update"
    )
    policy = mirror.ssh("apt-cache policy nvidia-smi")
    assert "Candidate: (none)" in policy, policy
    assert "Unable" in mirror.ssh("apt-get --simulate install nvidia-smi") or "no installation candidate" in mirror.ssh(
        "apt-get --simulate install nvidia-smi"
    )


def test_driver_in_use_is_neither_replaced_nor_removed(mirror: DriverHost) -> None:
    """User, program and process are reported; nothing is changed."""
    with mirror.computing() as process:
        before = mirror.state()
        for expected in ({"nvidia_driver_version": vendor.BETTER}, {"nvidia_driver_state": "absent"}):
            done = mirror.apply(**expected)
            assert (done.code != 0, done.changed) == (True, 0), done.output[-3000:]
            assert f"ada tail {process}" in done.text
            assert "nvidia_driver_force" in done.text
        assert mirror.state() == before
    assert built(mirror) == {(vendor.GOOD, "open")}


def test_driver_that_does_not_build_leaves_the_old_one_in_place(mirror: DriverHost) -> None:
    """After a test build, the errors of the compiler are printed and the host is not restarted."""
    started_at = mirror.started_at()
    done = mirror.apply(nvidia_driver_version=vendor.BROKEN, nvidia_driver_reboot="always")
    assert done.code != 0
    assert "error: #error this version is made not to build" in done.text
    assert f"the installed driver {vendor.GOOD} stays in place" in done.text
    assert built(mirror) == {(vendor.GOOD, "open")}
    assert mirror.facts()["userland_version"] == vendor.GOOD
    assert "whole" in mirror.ssh('test -z "$(dpkg --audit)" && echo whole')
    assert mirror.started_at() == started_at
    assert mirror.apply().changed == 0


def test_upgrade_and_downgrade(mirror: DriverHost) -> None:
    """To a newer version and back."""
    for version in (vendor.BETTER, vendor.GOOD):
        done = mirror.apply(nvidia_driver_version=version)
        assert done.code == 0, done.output[-4000:]
        assert built(mirror) == {(version, "open")}
        assert mirror.facts()["userland_version"] == version
        assert mirror.apply(nvidia_driver_version=version).changed == 0


def test_driver_in_use_is_replaced_with_force(mirror: DriverHost) -> None:
    """With nvidia_driver_force; services of users run again afterwards."""
    unit = "[Service]\\nExecStart=/bin/sleep infinity\\n"
    mirror.ssh(f"printf '{unit}' > /etc/systemd/system/gpulab-hub.service; systemctl start gpulab-hub.service")
    first = mirror.ssh("systemctl show --value --property=MainPID gpulab-hub.service")
    with mirror.computing():
        done = mirror.apply(nvidia_driver_version=vendor.BETTER, nvidia_driver_force=True)
    assert done.code == 0, done.output[-4000:]
    assert built(mirror) == {(vendor.BETTER, "open")}
    assert mirror.ssh("systemctl is-active gpulab-hub.service").strip() == "active"
    assert mirror.ssh("systemctl show --value --property=MainPID gpulab-hub.service") != first
    mirror.ssh("systemctl stop gpulab-hub.service; rm /etc/systemd/system/gpulab-hub.service")


def test_flavour_can_be_changed(mirror: DriverHost) -> None:
    """From the open to the proprietary module, which leaves no package of the open one."""
    done = mirror.apply(nvidia_driver_version=vendor.GOOD, nvidia_driver_flavour="proprietary")
    assert done.code == 0, done.output[-4000:]
    assert built(mirror) == {(vendor.GOOD, "proprietary")}
    assert PACKAGE not in mirror.facts()["packages"]


def test_mismatch_is_shown_at_login(mirror: DriverHost) -> None:
    """The container runs its machine's kernel, for which no module was built."""
    mirror.ssh("systemctl start gpulab-driver-check.service")
    assert "No NVIDIA module was built for the running kernel" in mirror.ssh("cat /run/motd.d/60-gpulab-driver")
    assert "No NVIDIA module was built" in mirror.login()


def test_check_runs_when_packages_change(mirror: DriverHost) -> None:
    """The message is written again when dpkg's record changes."""
    mirror.ssh(
        "rm -f /run/motd.d/60-gpulab-driver; cp -p /var/lib/dpkg/status /tmp/s; cat /tmp/s > /var/lib/dpkg/status"
    )
    assert "written" in mirror.ssh(
        "for i in $(seq 50); do test -e /run/motd.d/60-gpulab-driver && echo written && break; sleep 0.2; done"
    )


def test_controller_itself_is_never_restarted(mirror: DriverHost) -> None:
    """A host with the controller's machine id is the controller, with any connection."""
    started_at = mirror.started_at()
    own = Path("/etc/machine-id").read_text(encoding="utf-8").strip()
    mirror.ssh(f"cp /etc/machine-id /srv/machine-id; echo {own} > /etc/machine-id")
    done = mirror.apply(nvidia_driver_version=vendor.BETTER, nvidia_driver_reboot="always")
    mirror.ssh("cat /srv/machine-id > /etc/machine-id; rm /srv/machine-id")
    assert done.code != 0
    assert "This host is the controller, which is never restarted" in done.text
    assert mirror.started_at() == started_at


def test_restart_drains_and_comes_back(mirror: DriverHost) -> None:
    """With `always`, after a change: services of users are stopped first, and the host runs again afterwards."""
    unit = "[Service]\\nExecStart=/bin/sleep infinity\\nExecStop=/usr/bin/touch /srv/drained\\n"
    mirror.ssh(f"printf '{unit}' > /etc/systemd/system/gpulab-hub.service; systemctl start gpulab-hub.service")
    started_at = mirror.started_at()
    done = mirror.apply(nvidia_driver_version=vendor.GOOD, nvidia_driver_reboot="always")
    assert done.code == 0, done.output[-4000:]
    assert mirror.started_at() != started_at
    assert "nvidia_driver_reboot is always" in done.text
    assert "/srv/drained" in mirror.ssh("ls /srv/drained")
    mirror.ssh("rm /etc/systemd/system/gpulab-hub.service /srv/drained")
    assert mirror.apply(nvidia_driver_version=vendor.GOOD, nvidia_driver_reboot="always").changed == 0


def test_fabric_manager_is_installed_at_the_drivers_version(mirror: DriverHost) -> None:
    """Eight B200 are connected by NVSwitch: CUDA does not start with another version."""
    done = mirror.apply(nvidia_driver_version=vendor.GOOD, nvidia_driver_expected_gpus=["2901"] * 8)
    assert done.code == 0, done.output[-4000:]
    assert mirror.facts()["fabric_manager_version"] == vendor.GOOD
    assert mirror.ssh("systemctl is-enabled nvidia-fabricmanager.service").strip() == "enabled"


def test_uninstall_leaves_nothing(mirror: DriverHost) -> None:
    """No package, no file, no unit of the role."""
    done = mirror.apply(nvidia_driver_state="absent")
    assert done.code == 0, done.output[-4000:]
    assert mirror.added() == set()
    assert not mirror.initramfs_blocks_nouveau()
    assert mirror.apply(nvidia_driver_state="absent").changed == 0


def test_package_without_a_driver_is_rolled_back(mirror: DriverHost) -> None:
    """Apt succeeds without installing a module: the role fails and removes the packages again."""
    done = mirror.apply(nvidia_driver_branch="615")
    assert done.code != 0
    assert "no NVIDIA module was built for kernel" in done.text
    assert mirror.facts()["packages"] == {}
    assert mirror.facts()["managed"] == {}


def test_packages_that_others_require_stay(mirror: DriverHost) -> None:
    """A later package with its own module keeps DKMS; one that requires the driver stops the removal."""
    assert mirror.apply(nvidia_driver_version=vendor.GOOD).code == 0
    pool = "/srv/others"
    for name, needed in (("lab-dkms", "dkms"), ("lab-cuda", "libcuda1")):
        control = (
            f"Package: {name}\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@x.invalid>\\nDepends: {needed}\\n"
        )
        mirror.ssh(f"mkdir -p {pool}/{name}/DEBIAN; printf '{control}Description: x\\n' > {pool}/{name}/DEBIAN/control")
        mirror.ssh(f"dpkg-deb --build {pool}/{name} {pool}/{name}.deb && dpkg --install {pool}/{name}.deb")
    done = mirror.apply(nvidia_driver_state="absent")
    assert (done.code != 0, done.changed) == (True, 0)
    assert "lab-cuda needs libcuda1" in done.text
    mirror.ssh("dpkg --purge lab-cuda")
    done = mirror.apply(nvidia_driver_state="absent")
    assert done.code == 0, done.output[-4000:]
    installed = mirror.ssh("dpkg-query --show --showformat '${Package} ${db:Status-Status}\\n' lab-dkms dkms make")
    assert installed.splitlines() == ["dkms installed", "lab-dkms installed", "make installed"]
    assert mirror.facts()["packages"] == {}
