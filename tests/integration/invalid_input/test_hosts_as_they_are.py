# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts as they are found: old lists, small file systems, noexec, what the umask closed, logins in addresses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.lab import Lab

SECRET = "s3cret-in-an-address"
KERNELS = "/usr/local/share/jupyter/kernels"


@pytest.mark.parametrize("login", [f"svc:{SECRET}", SECRET, f"svc:{SECRET}%40%23"])
@pytest.mark.parametrize("port", ["", ":9"])
def test_login_of_a_source_is_in_no_output(lab: Lab, login: str, port: str) -> None:
    """Not with -vvv and --diff either; the reason is that nothing answers, and not how the address is written."""
    sources = {"pip": {"index_url": f"http://{login}@127.0.0.1{port}/simple"}}
    outcome = lab.play("playbooks/preflight.yml", "-vvv", "--diff", gpulab_sources=sources)
    assert outcome.code != 0
    assert f"gpulab_sources.pip.index_url): http://127.0.0.1{port}/simple cannot be used" in outcome.text
    assert SECRET not in outcome.output


def test_login_that_programs_read_differently_is_rejected(lab: Lab) -> None:
    """The message names the character, not the login."""
    proxy = {"https": f"http://svc:{SECRET}#1@127.0.0.1:9", "no_proxy": "localhost, .lab.example"}
    outcome = lab.play("playbooks/preflight.yml", gpulab_sources={"proxy": proxy})
    assert outcome.code != 0
    assert "gpulab_sources.proxy.https" in outcome.text
    assert "must be written as %23" in outcome.text
    assert SECRET not in outcome.output


@pytest.fixture
def old_list(lab: Lab) -> Iterator[str]:
    """Put a package list on the host whose server is gone, and let all lists be old, so that apt updates them."""
    path = "/etc/apt/sources.list.d/old-ppa.list"
    lab.shell(
        f"echo 'deb [trusted=yes] http://127.0.0.1:9/ppa stable main' > {path}; apt-get remove --yes hello || true; "
        "touch --date '2 days ago' /var/lib/apt/lists; rm -f /var/lib/apt/periodic/update-success-stamp"
    )
    yield path
    lab.shell(f"rm {path}; apt-get remove --yes hello || true")


def test_dead_package_list_is_named_and_does_not_stop_the_run(lab: Lab, old_list: str) -> None:
    """The package comes from the other lists."""
    packages = ["acl", "ca-certificates", "git", "libarchive-tools", "python3-venv", "hello"]
    outcome = lab.play("site.yml", "--tags", "tools", tools_packages=packages)
    assert outcome.code == 0, outcome.output[-3000:]
    assert old_list in outcome.text
    assert "installed" in lab.shell("dpkg-query --show --showformat '${db:Status-Status}' hello")


@pytest.fixture
def mounts(lab: Lab) -> Iterator[None]:
    """Mount a small file system for the cache, and one without programs."""
    lab.shell("mkdir -p /mnt/noexec && mount -t tmpfs -o size=1G tmpfs /var/cache/gpulab")
    lab.shell("mount -t tmpfs -o noexec,size=1M tmpfs /mnt/noexec")
    yield
    lab.shell("umount /var/cache/gpulab /mnt/noexec && rmdir /mnt/noexec")


def test_file_systems_are_measured_before_anything_changes(lab: Lab, mounts: None) -> None:
    """Of the cache and of the programs, each by name."""
    small = lab.play("playbooks/preflight.yml", frameworks_name="other")
    assert "the file system mounted at /var/cache/gpulab has" in small.text
    closed = lab.play("playbooks/preflight.yml", frameworks_path="/mnt/noexec/envs")
    assert "mounted at /mnt/noexec with the option noexec" in closed.text
    assert small.changed == closed.changed == 0


def test_second_run_repairs_what_the_umask_of_root_closed(lab: Lab) -> None:
    """The directories above the kernels, and the one above the shared directories."""
    paths = f"/usr/local/share/jupyter {KERNELS} /srv/shared"
    lab.shell(f"chmod 0700 {paths}")
    outcome = lab.converge()
    assert outcome.code == 0, outcome.output[-3000:]
    assert lab.shell(f"stat --format %a {paths}").count("755") == 3
    assert lab.converge().changed == 0
