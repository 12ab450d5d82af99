# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of the driver tests: created at the start, removed at the end."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import pytest
import yaml

from tests.integration.driver import vendor
from tests.support.lab import LOCAL, Lab, Outcome, bare_host

PORT = 8099
"""Port of the mock of NVIDIA's repository, which the host itself serves."""


class DriverHost(Lab):
    """A host that gets drivers for a T4, which it does not have."""

    def __init__(self, inventory: str, host: str) -> None:
        super().__init__(inventory, host)
        self.base: dict[str, Any] = {"nvidia_driver_expected_gpus": ["1eb8"]}
        self.before: list[str] = []

    def apply(self, *arguments: str, **options: Any) -> Outcome:
        """Run the role."""
        return self.play("tests/integration/driver/driver.yml", *arguments, **{**self.base, **options})

    def login(self) -> str:
        """Log in, log out, and return the messages of the host."""
        return self.ssh("", "-tt", stdin="exit\n")

    @cached_property
    def variables(self) -> dict[str, Any]:
        """The inventory variables of the host, which exist once it was created."""
        return dict(json.loads(self.ansible("ansible-inventory", "--host", self.host).stdout))

    def ssh(self, command: str, *options: str, stdin: str = "") -> str:
        """Run a command on the host over SSH and return its output."""
        variables = self.variables
        argv = ["ssh", *options, "-p", str(variables["ansible_port"]), "-i", variables["ansible_ssh_private_key_file"]]
        argv += [*shlex.split(variables["ansible_ssh_common_args"]), f"root@{variables['ansible_host']}"]
        argv += [command] if command else []
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=120)
        return done.stdout + (done.stderr if done.returncode else "")

    def facts(self) -> dict[str, Any]:
        """Return the facts of gpu_info."""
        arguments = json.dumps({"expected": self.base["nvidia_driver_expected_gpus"]})
        done = self.ansible("ansible", self.host, "-m", "gpulab.core.gpu_info", "-a", arguments)
        return dict(yaml.safe_load(done.stdout.partition("=>")[2]))

    def rebuilds(self) -> int:
        """Return how often an initramfs was rebuilt."""
        return len(self.ssh(f"touch {REBUILDS}; cat {REBUILDS}").splitlines())

    def initramfs_blocks_nouveau(self) -> bool:
        """Return whether the initramfs of the boot kernel blocks nouveau."""
        return "gpulab-nouveau.conf" in self.ssh(f"lsinitramfs /boot/initrd.img-{self.facts()['boot_kernel']}")

    def added(self) -> set[str]:
        """Return the packages and files that were added; useradd's subordinate ids do not count."""
        return {line for line in set(self.state()) - set(self.before) if not line.startswith("/etc/sub")}

    def started_at(self) -> str:
        """Return when the host was started."""
        return self.ssh("systemctl show --value --property=UserspaceTimestamp")

    @contextmanager
    def computing(self) -> Iterator[str]:
        """Run a process of a user that holds a GPU open; yield its id."""
        self.ssh("touch /dev/nvidia0; id ada || useradd --create-home ada")
        self.ssh("systemd-run --uid=ada --unit=epoch tail -f /dev/nvidia0")
        yield self.ssh("systemctl show --value --property=MainPID epoch").strip()
        self.ssh("systemctl stop epoch; rm /dev/nvidia0")

    def state(self) -> list[str]:
        """Return packages and files, for comparisons."""
        directories = "/etc /usr /var/lib/dkms /var/lib/gpulab /lib/modules"
        noise = "-not -path '*/__pycache__*' -not -name '*-' -not -path '/etc/ssl/*' -not -name ld.so.cache"
        listed = "dpkg-query --show --showformat '${Package} ${Status}\\n'"
        text = self.ssh(f"{listed}; find {directories} {noise} \\( -type f -o -type l \\) 2>/dev/null")
        return sorted(text.splitlines())


REBUILDS = "/srv/initramfs.log"
"""Log of the rebuilds of an initramfs on the host."""


def install_kernel(host: DriverHost) -> None:
    """Install a kernel with an initramfs whose rebuilds are counted."""
    hook = "/etc/initramfs/post-update.d/count"
    host.ssh(
        "apt-get --quiet update && DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes --no-install-recommends "
        "install initramfs-tools linux-image-cloud-amd64"
    )
    host.ssh(
        f"mkdir -p $(dirname {hook}) && printf '#!/bin/sh\\necho \"$1\" >> {REBUILDS}\\n' > {hook} && chmod 0755 {hook}"
    )
    assert host.facts()["boot_kernel"].endswith("-cloud-amd64")
    host.before = host.state()


@pytest.fixture(scope="session")
def bookworm() -> Iterator[DriverHost]:
    """Return a bare Debian 12 with a kernel of its own."""
    with bare_host(DriverHost(LOCAL, "driver12")) as host:
        install_kernel(host)
        yield host


@pytest.fixture(scope="session")
def trixie() -> Iterator[DriverHost]:
    """Return a bare Debian 13 with a kernel of its own."""
    with bare_host(DriverHost(LOCAL, "driver13")) as host:
        install_kernel(host)
        yield host


@pytest.fixture(scope="session")
def mirror(bookworm: DriverHost, tmp_path_factory: pytest.TempPathFactory) -> DriverHost:
    """Return a Debian 12 that serves a mock of NVIDIA's repository."""
    repository = vendor.build(tmp_path_factory.mktemp("vendor"), "debian12")
    vendor.serve(bookworm, repository, PORT)
    bookworm.base |= {
        "nvidia_driver_source": "nvidia_repo",
        "nvidia_driver_repository": f"http://127.0.0.1:{PORT}",
        "nvidia_driver_repository_key_sha256": repository.sha256,
        "nvidia_driver_reboot_delay": 0,
    }
    bookworm.before = bookworm.state()
    return bookworm
