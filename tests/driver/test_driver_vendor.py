"""NVIDIA's repository, played by one of our own: versions, changes, failures, removal. In order, on one host."""

from __future__ import annotations

import vendor
from conftest import DriverHost

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


def test_keyring_that_is_not_the_vendors_is_refused(shop: DriverHost) -> None:
    """A checksum that does not fit stops before apt has seen the key."""
    done = shop.apply(nvidia_driver_repository_key_sha256="0" * 64)
    assert done.code != 0
    assert "checksum" in done.text.lower()
    assert "gpulab-nvidia.sources" not in shop.ssh("ls /etc/apt/sources.list.d/")
    assert shop.facts()["packages"] == {}


def test_wished_version_is_installed_whole(shop: DriverHost) -> None:
    """Module, libraries, pinning and record; the branch was pinned first."""
    shop.before = shop.state()
    done = shop.apply(nvidia_driver_version=vendor.GOOD)
    assert done.code == 0, done.output[-4000:]
    facts = shop.facts()
    assert built(shop) == {(vendor.GOOD, "open")}
    assert facts["userland_version"] == vendor.GOOD
    assert facts["managed"]["version"] == f"{vendor.GOOD}-1"
    assert all(entry["state"] == "installed" for entry in facts["packages"].values())
    assert facts["nouveau_blocked"]


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


def test_driver_in_use_is_not_replaced(shop: DriverHost) -> None:
    """Who computes is named, with process and program; nothing is changed."""
    shop.ssh("touch /dev/nvidia0; useradd --create-home ada; systemd-run --uid=ada --unit=epoch tail -f /dev/nvidia0")
    done = shop.apply(nvidia_driver_version=vendor.BETTER)
    shop.ssh("systemctl stop epoch; rm /dev/nvidia0")
    assert done.code != 0
    assert "ada tail" in done.text
    assert "nvidia_driver_force" in done.text
    assert built(shop) == {(vendor.GOOD, "open")}


def test_driver_that_does_not_build_leaves_the_old_one_in_place(shop: DriverHost) -> None:
    """It is tried aside first; the compiler's words are printed; the host did not restart."""
    began = shop.ssh("systemctl show --value --property=UserspaceTimestamp")
    done = shop.apply(nvidia_driver_version=vendor.BROKEN)
    assert done.code != 0
    assert "error: #error this version is made not to build" in done.text
    assert f"Driver {vendor.GOOD} stays in place" in done.text
    assert built(shop) == {(vendor.GOOD, "open")}
    assert shop.facts()["userland_version"] == vendor.GOOD
    assert "whole" in shop.ssh('test -z "$(dpkg --audit)" && echo whole')
    assert shop.ssh("systemctl show --value --property=UserspaceTimestamp") == began
    assert shop.apply().changed == 0


def test_upgrade_and_downgrade(shop: DriverHost) -> None:
    """To a newer version and back."""
    for version in (vendor.BETTER, vendor.GOOD):
        done = shop.apply(nvidia_driver_version=version)
        assert done.code == 0, done.output[-4000:]
        assert built(shop) == {(version, "open")}
        assert shop.facts()["userland_version"] == version
        assert shop.apply(nvidia_driver_version=version).changed == 0


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
    """Whoever calls apt: the message is written anew when dpkg's record changes."""
    shop.ssh("rm -f /run/motd.d/60-gpulab-driver; cp -p /var/lib/dpkg/status /tmp/s; cat /tmp/s > /var/lib/dpkg/status")
    assert "written" in shop.ssh(
        "for i in $(seq 50); do test -e /run/motd.d/60-gpulab-driver && echo written && break; sleep 0.2; done"
    )


def test_restart_drains_and_comes_back(shop: DriverHost) -> None:
    """With `always`, after a change: services of people are stopped first, and the host is there again afterwards."""
    unit = "[Service]\\nExecStart=/bin/sleep infinity\\nExecStop=/usr/bin/touch /srv/drained\\n"
    shop.ssh(f"printf '{unit}' > /etc/systemd/system/gpulab-hub.service; systemctl start gpulab-hub.service")
    began = shop.ssh("systemctl show --value --property=UserspaceTimestamp")
    done = shop.apply(nvidia_driver_version=vendor.BETTER, nvidia_driver_reboot="always")
    assert done.code == 0, done.output[-4000:]
    assert shop.ssh("systemctl show --value --property=UserspaceTimestamp") != began
    assert "a restart after each change is wished" in done.text
    assert "/srv/drained" in shop.ssh("ls /srv/drained")
    shop.ssh("rm /etc/systemd/system/gpulab-hub.service")
    assert shop.apply(nvidia_driver_version=vendor.BETTER, nvidia_driver_reboot="always").changed == 0


def test_uninstall_leaves_nothing(shop: DriverHost) -> None:
    """No package, no file, no unit that the role brought."""
    done = shop.apply(nvidia_driver_state="absent")
    assert done.code == 0, done.output[-4000:]
    left = set(shop.state()) - set(shop.before)
    left = {
        line
        for line in left
        if not any(word in line for word in ("ada", "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/sub"))
    }
    assert left == set()
    assert shop.apply(nvidia_driver_state="absent").changed == 0


def test_package_without_a_driver_is_not_taken_for_one(shop: DriverHost) -> None:
    """All goes well for apt, and there is no module: the role says so, and gives the host back as it was."""
    done = shop.apply(nvidia_driver_branch="615")
    assert done.code != 0
    assert "no NVIDIA module was built for kernel" in done.text
    assert shop.facts()["packages"] == {}
    assert shop.facts()["managed"] == {}
