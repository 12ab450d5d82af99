# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts as they are found: old lists, small file systems, noexec, what the umask closed, logins in addresses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub import answers
from tests.support.lab import Lab
from tests.support.processes import run

SECRET = "s3cret-in-an-address"
KERNELS = "/usr/local/share/jupyter/kernels"


def test_login_of_a_source_is_in_no_output(lab: Lab) -> None:
    """Not with -vvv and --diff either; the reason is that nothing answers, and not how the address is written."""
    addresses = [(login, port) for login in (f"svc:{SECRET}", SECRET, f"svc:{SECRET}%40%23") for port in ("", ":9")]
    settings: list[dict[str, Any]] = [
        {"gpulab_sources": {"pip": {"index_url": f"http://{login}@127.0.0.1{port}/simple"}}}
        for login, port in addresses
    ]
    # Programs read this one differently: the message names the character.
    proxy = {"https": f"http://svc:{SECRET}#1@127.0.0.1:9", "no_proxy": "localhost, .lab.example"}
    *outcomes, wrong = lab.preflight([*settings, {"gpulab_sources": {"proxy": proxy}}], "-vvv", "--diff")
    for (_, port), outcome in zip(addresses, outcomes, strict=True):
        assert outcome.code != 0
        assert f"gpulab_sources.pip.index_url): http://127.0.0.1{port}/simple cannot be used" in outcome.text
    assert wrong.code != 0
    assert "gpulab_sources.proxy.https" in wrong.text
    assert "must be written as %23" in wrong.text
    assert not [outcome for outcome in (*outcomes, wrong) if SECRET in outcome.run]


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
    outcome = lab.play("site.yml", "--tags", "users,frameworks")
    assert outcome.code == 0, outcome.output[-3000:]
    assert lab.shell(f"stat --format %a {paths}").count("755") == 3


@pytest.fixture
def no_mounts(lab: Lab) -> Iterator[None]:
    """Let the host be one that does not allow mounts, as a container without privileges: `unshare` fails."""
    lab.shell("mount --bind /bin/false /usr/bin/unshare")
    yield
    lab.shell("umount /usr/bin/unshare")


def test_host_whose_sessions_cannot_be_isolated_is_rejected(lab: Lab, no_mounts: None) -> None:
    """Before anything is changed, with the option that does without isolation."""
    (outcome,) = lab.preflight([{}])
    assert (outcome.code, outcome.changed) == (1, 0)
    assert "the host does not let sessions have a /tmp of their own" in outcome.text
    assert "users_session_isolation_enabled" in outcome.text


@pytest.fixture
def firewall(lab: Lab) -> Iterator[None]:
    """Switch on ufw, which closes all ports but sshd's."""
    lab.shell("DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ufw")
    lab.shell("ufw allow 22/tcp && ufw --force enable")
    yield
    lab.shell(
        "ufw --force disable; apt-get purge --yes ufw iptables; nft delete table ip filter; nft delete table ip6 filter"
    )


def test_firewall_that_closes_the_hub_is_reported(lab: Lab, firewall: None) -> None:
    """With the command that opens the port; it is the site's decision, and the run goes on."""
    address = lab.within("hostname", "-I").split()[0]
    assert not answers(443, address)
    outcome = lab.play("site.yml", "--tags", "jupyterhub")
    assert outcome.code == 0, outcome.output[-3000:]
    assert "Users cannot reach the hub from other hosts: port 443 is closed by ufw: `ufw allow 443/tcp`" in outcome.text
    lab.shell("ufw allow 443/tcp")
    assert answers(443, address)
    outcome = lab.play("site.yml", "--tags", "jupyterhub")
    assert outcome.code == 0, outcome.output[-3000:]
    assert "cannot reach the hub" not in outcome.text


def test_second_run_repairs_an_interrupted_update_of_ca_certificates(lab: Lab, tmp_path: Path) -> None:
    """The certificate is in its directory and not in the bundle; later it is removed from the list, and from both."""
    request = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=Lab CA", "-days", "30"]
    extensions = ["-addext", "basicConstraints=critical,CA:TRUE"]
    certificate = tmp_path / "lab.crt"
    run([*request, *extensions, "-keyout", str(tmp_path / "key"), "-out", str(certificate)], check=True, timeout=60)
    line = certificate.read_text().splitlines()[1]
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    sources = "lookup('gpulab.core.controller_sources')"
    files = f"{sources}.ca_certificates | default([]) + ['{certificate}']"
    own = {"gpulab_sources": f"{{{{ {sources} | combine({{'ca_certificates': {files}}}) }}}}"}
    assert lab.play("site.yml", "--tags", "sources", **own).code == 0
    assert line in lab.shell(f"grep {line} {bundle}")
    # As it is where the run was interrupted before the bundle was written.
    lab.shell(f"sed -i '/{line}/d' {bundle} && touch --date '1 hour ago' {bundle}")
    repaired = lab.play("site.yml", "--tags", "sources", **own)
    assert (repaired.code, repaired.changed) == (0, 1), repaired.output[-3000:]
    assert line in lab.shell(f"grep {line} {bundle}")
    assert lab.play("site.yml", "--tags", "sources", **own).changed == 0
    assert lab.play("site.yml", "--tags", "sources").code == 0
    assert "none" in lab.shell(f"grep {line} {bundle} || echo none")
