"""NVIDIA's repository, played by one of our own: versions, changes, failures, removal. In order, on one host."""

from __future__ import annotations

from pathlib import Path

from tests.integration.driver import vendor
from tests.integration.driver.conftest import DriverHost

LIBRARY = "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so."
PACKAGE = "nvidia-kernel-open-dkms"


def built(shop: DriverHost) -> set[tuple[str, str]]:
    """Give versions and flavours of the modules for the kernel with headers."""
    facts = shop.facts()
    return {(module["version"], module["flavour"]) for kernel in facts["modules"].values() for module in kernel}


def test_check_mode_prints_the_plan_and_changes_nothing(shop: DriverHost) -> None:
    """On a host that has no driver yet, and whose apt knows of none."""
    before = shop.state()
    done = shop.apply("--check")
    assert done.code == 0, done.output[-3000:]
    for words in ("nvidia_repo", "R580", "nvidia-driver-pinning-580", PACKAGE, "1 x T4"):
        assert words in done.text
    assert done.changed == 1
    assert shop.state() == before


def test_plan_is_printed_for_a_host_that_is_only_asked(shop: DriverHost) -> None:
    """playbooks/plan.yml alone, and what it says where no driver can be."""
    group = ("--inventory", "tests/integration/driver/gpu_hosts.yml")
    before = shop.state()
    done = shop.play("playbooks/plan.yml", *group, **shop.base)
    assert (done.code, done.changed) == (0, 0), done.output[-3000:]
    assert all(words in done.text for words in ("1 x T4", "nvidia_repo", "R580", "linux-headers-cloud-amd64"))
    mixed = shop.play("playbooks/plan.yml", *group, **{**shop.base, "nvidia_driver_expected_gpus": ["1db1", "2901"]})
    assert mixed.code != 0
    assert "no driver carries V100 (Volta) and B200 (Blackwell) in one host" in mixed.text
    assert shop.state() == before


def test_host_without_a_valid_driver_is_rejected_before_a_change(shop: DriverHost) -> None:
    """A Volta next to a Blackwell: the sentence names both and the ways out."""
    before = shop.state()
    done = shop.apply(nvidia_driver_expected_gpus=["1db1", "2901"])
    assert (done.code != 0, done.changed) == (True, 0)
    assert "no driver carries V100 (Volta) and B200 (Blackwell) in one host: take one of them out" in done.text
    assert shop.state() == before


def test_keyring_that_is_not_the_vendors_is_rejected(shop: DriverHost) -> None:
    """A checksum that does not fit stops before apt has seen the key."""
    done = shop.apply(nvidia_driver_repository_key_sha256="0" * 64)
    assert done.code != 0
    assert "checksum" in done.text.lower()
    assert "gpulab-nvidia.sources" not in shop.ssh("ls /etc/apt/sources.list.d/")
    assert shop.facts()["packages"] == {}


def test_requested_version_is_installed_whole(shop: DriverHost) -> None:
    """Module, libraries, pinning and record; the branch was pinned first."""
    counted = shop.rebuilds()
    done = shop.apply(nvidia_driver_version=vendor.GOOD)
    assert done.code == 0, done.output[-4000:]
    facts = shop.facts()
    assert built(shop) == {(vendor.GOOD, "open")}
    assert facts["userland_version"] == vendor.GOOD
    assert facts["managed"]["version"] == f"{vendor.GOOD}-1"
    assert all(entry["state"] == "installed" for entry in facts["packages"].values())
    assert facts["nouveau_blocked"]
    assert shop.rebuilds() == counted + 1
    assert shop.nouveau_is_out_of_the_initramfs()


def test_module_is_built_for_the_kernel_that_will_boot(shop: DriverHost) -> None:
    """Not for the one that runs, which is the machine's; with headers of the installed and of the next kernel."""
    facts = shop.facts()
    boot = facts["boot_kernel"]
    assert boot != facts["running_kernel"]
    assert [module["signer"] for module in facts["modules"][boot]] == ["DKMS module signing key"]
    installed = shop.ssh("dpkg-query --show --showformat '${Package} ${db:Status-Status}\\n' 'linux-headers-*'")
    assert {f"linux-headers-{boot} installed", "linux-headers-cloud-amd64 installed"} <= set(installed.splitlines())


def test_second_run_changes_nothing(shop: DriverHost) -> None:
    """Also without naming the version again: it is kept although newer ones are there."""
    assert (shop.apply(nvidia_driver_version=vendor.GOOD).changed, shop.apply().changed) == (0, 0)
    assert built(shop) == {(vendor.GOOD, "open")}


def test_upgrade_of_everything_leaves_the_driver_alone(shop: DriverHost) -> None:
    """The whole closure is pinned, not only the package that was named."""
    planned = shop.ssh("apt-get --simulate dist-upgrade")
    assert "nvidia" not in planned, planned
    assert "libcuda1" not in planned, planned
    assert f"Candidate: {vendor.GOOD}-1" in shop.ssh(f"apt-cache policy {PACKAGE}")
    blacklist = shop.ssh("apt-config dump Unattended-Upgrade::Package-Blacklist")
    assert all(f'"{name}"' in blacklist for name in ("nvidia-", "libnvidia-", "libcuda1", "cuda-drivers"))


def test_distributions_driver_cannot_be_mixed_in(shop: DriverHost) -> None:
    """Packages of the same names from elsewhere are blocked."""
    shop.ssh(
        "sed -i 's/ main$/ main contrib non-free non-free-firmware/' /etc/apt/sources.list && apt-get --quiet update"
    )
    policy = shop.ssh("apt-cache policy nvidia-smi")
    assert "Candidate: (none)" in policy, policy
    assert "Unable" in shop.ssh("apt-get --simulate install nvidia-smi") or "no installation candidate" in shop.ssh(
        "apt-get --simulate install nvidia-smi"
    )


def test_driver_in_use_is_neither_replaced_nor_removed(shop: DriverHost) -> None:
    """Who computes is named, with program and process; nothing is changed."""
    with shop.computing() as process:
        before = shop.state()
        for expected in ({"nvidia_driver_version": vendor.BETTER}, {"nvidia_driver_state": "absent"}):
            done = shop.apply(**expected)
            assert (done.code != 0, done.changed) == (True, 0), done.output[-3000:]
            assert f"ada tail {process}" in done.text
            assert "nvidia_driver_force" in done.text
        assert shop.state() == before
    assert built(shop) == {(vendor.GOOD, "open")}


def test_driver_that_does_not_build_leaves_the_old_one_in_place(shop: DriverHost) -> None:
    """It is tried aside first; the compiler's words are printed; the host did not restart."""
    began = shop.began()
    done = shop.apply(nvidia_driver_version=vendor.BROKEN, nvidia_driver_reboot="always")
    assert done.code != 0
    assert "error: #error this version is made not to build" in done.text
    assert f"Driver {vendor.GOOD} stays in place" in done.text
    assert built(shop) == {(vendor.GOOD, "open")}
    assert shop.facts()["userland_version"] == vendor.GOOD
    assert "whole" in shop.ssh('test -z "$(dpkg --audit)" && echo whole')
    assert shop.began() == began
    assert shop.apply().changed == 0


def test_upgrade_and_downgrade(shop: DriverHost) -> None:
    """To a newer version and back."""
    for version in (vendor.BETTER, vendor.GOOD):
        done = shop.apply(nvidia_driver_version=version)
        assert done.code == 0, done.output[-4000:]
        assert built(shop) == {(version, "open")}
        assert shop.facts()["userland_version"] == version
        assert shop.apply(nvidia_driver_version=version).changed == 0


def test_driver_in_use_is_replaced_where_that_is_requested(shop: DriverHost) -> None:
    """nvidia_driver_force says so; services of users run again afterwards."""
    unit = "[Service]\\nExecStart=/bin/sleep infinity\\n"
    shop.ssh(f"printf '{unit}' > /etc/systemd/system/gpulab-hub.service; systemctl start gpulab-hub.service")
    first = shop.ssh("systemctl show --value --property=MainPID gpulab-hub.service")
    with shop.computing():
        done = shop.apply(nvidia_driver_version=vendor.BETTER, nvidia_driver_force=True)
    assert done.code == 0, done.output[-4000:]
    assert built(shop) == {(vendor.BETTER, "open")}
    assert shop.ssh("systemctl is-active gpulab-hub.service").strip() == "active"
    assert shop.ssh("systemctl show --value --property=MainPID gpulab-hub.service") != first
    shop.ssh("systemctl stop gpulab-hub.service; rm /etc/systemd/system/gpulab-hub.service")


def test_flavour_can_be_changed(shop: DriverHost) -> None:
    """From the open to the proprietary module, and nothing of the open one stays."""
    done = shop.apply(nvidia_driver_version=vendor.GOOD, nvidia_driver_flavour="proprietary")
    assert done.code == 0, done.output[-4000:]
    assert built(shop) == {(vendor.GOOD, "proprietary")}
    assert PACKAGE not in shop.facts()["packages"]


def test_mismatch_is_told_at_login(shop: DriverHost) -> None:
    """The container runs its machine's kernel, for which no module was built: that is what the message says."""
    shop.ssh("systemctl start gpulab-driver-check.service")
    assert "No NVIDIA module was built for the running kernel" in shop.ssh("cat /run/motd.d/60-gpulab-driver")
    assert "No NVIDIA module was built" in shop.login()


def test_watch_sees_packages_that_change(shop: DriverHost) -> None:
    """Whoever calls apt: the message is written again when dpkg's record changes."""
    shop.ssh("rm -f /run/motd.d/60-gpulab-driver; cp -p /var/lib/dpkg/status /tmp/s; cat /tmp/s > /var/lib/dpkg/status")
    assert "written" in shop.ssh(
        "for i in $(seq 50); do test -e /run/motd.d/60-gpulab-driver && echo written && break; sleep 0.2; done"
    )


def test_controller_itself_is_never_restarted(shop: DriverHost) -> None:
    """A host with the controller's machine-id is the controller, whatever the connection says."""
    began = shop.began()
    own = Path("/etc/machine-id").read_text(encoding="utf-8").strip()
    shop.ssh(f"cp /etc/machine-id /srv/machine-id; echo {own} > /etc/machine-id")
    done = shop.apply(nvidia_driver_version=vendor.BETTER, nvidia_driver_reboot="always")
    shop.ssh("cat /srv/machine-id > /etc/machine-id; rm /srv/machine-id")
    assert done.code != 0
    assert "This host is the controller, which is never restarted" in done.text
    assert shop.began() == began


def test_restart_drains_and_comes_back(shop: DriverHost) -> None:
    """With `always`, after a change: services of users are stopped first, and the host is there again afterwards."""
    unit = "[Service]\\nExecStart=/bin/sleep infinity\\nExecStop=/usr/bin/touch /srv/drained\\n"
    shop.ssh(f"printf '{unit}' > /etc/systemd/system/gpulab-hub.service; systemctl start gpulab-hub.service")
    began = shop.began()
    done = shop.apply(nvidia_driver_version=vendor.GOOD, nvidia_driver_reboot="always")
    assert done.code == 0, done.output[-4000:]
    assert shop.began() != began
    assert "a restart after each change is requested" in done.text
    assert "/srv/drained" in shop.ssh("ls /srv/drained")
    shop.ssh("rm /etc/systemd/system/gpulab-hub.service /srv/drained")
    assert shop.apply(nvidia_driver_version=vendor.GOOD, nvidia_driver_reboot="always").changed == 0


def test_fabric_manager_is_installed_at_the_drivers_version(shop: DriverHost) -> None:
    """Eight B200 are joined by NVSwitch: without exactly this one, CUDA would not start."""
    done = shop.apply(nvidia_driver_version=vendor.GOOD, nvidia_driver_expected_gpus=["2901"] * 8)
    assert done.code == 0, done.output[-4000:]
    assert shop.facts()["fabric_manager_version"] == vendor.GOOD
    assert shop.ssh("systemctl is-enabled nvidia-fabricmanager.service").strip() == "enabled"


def test_uninstall_leaves_nothing(shop: DriverHost) -> None:
    """No package, no file, no unit that the role brought."""
    done = shop.apply(nvidia_driver_state="absent")
    assert done.code == 0, done.output[-4000:]
    assert shop.left() == set()
    assert not shop.nouveau_is_out_of_the_initramfs()
    assert shop.apply(nvidia_driver_state="absent").changed == 0


def test_package_without_a_driver_is_not_taken_for_one(shop: DriverHost) -> None:
    """All goes well for apt, and there is no module: the role says so, and gives the host back as it was."""
    done = shop.apply(nvidia_driver_branch="615")
    assert done.code != 0
    assert "no NVIDIA module was built for kernel" in done.text
    assert shop.facts()["packages"] == {}
    assert shop.facts()["managed"] == {}


def test_what_others_need_by_now_stays(shop: DriverHost) -> None:
    """A tool with a module of its own came after the driver: it keeps DKMS; what needs the driver itself is named."""
    assert shop.apply(nvidia_driver_version=vendor.GOOD).code == 0
    pool = "/srv/others"
    for name, need in (("lab-dkms", "dkms"), ("lab-cuda", "libcuda1")):
        control = f"Package: {name}\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@x.invalid>\\nDepends: {need}\\n"
        shop.ssh(f"mkdir -p {pool}/{name}/DEBIAN; printf '{control}Description: x\\n' > {pool}/{name}/DEBIAN/control")
        shop.ssh(f"dpkg-deb --build {pool}/{name} {pool}/{name}.deb && dpkg --install {pool}/{name}.deb")
    done = shop.apply(nvidia_driver_state="absent")
    assert (done.code != 0, done.changed) == (True, 0)
    assert "lab-cuda needs libcuda1" in done.text
    shop.ssh("dpkg --purge lab-cuda")
    done = shop.apply(nvidia_driver_state="absent")
    assert done.code == 0, done.output[-4000:]
    there = shop.ssh("dpkg-query --show --showformat '${Package} ${db:Status-Status}\\n' lab-dkms dkms make")
    assert there.splitlines() == ["dkms installed", "lab-dkms installed", "make installed"]
    assert shop.facts()["packages"] == {}
