# SPDX-License-Identifier: GPL-3.0-or-later
"""Dead package lists, closed directories, firewalls and interrupted updates: repaired or reported by the next run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hub import answers
from tests.support.lab import Lab
from tests.support.processes import run

KERNELS = "/usr/local/share/jupyter/kernels"


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


def test_second_run_repairs_what_the_umask_of_root_closed(lab: Lab) -> None:
    """The directories above the kernels, and the one above the shared directories."""
    paths = f"/usr/local/share/jupyter {KERNELS} /srv/shared"
    lab.shell(f"chmod 0700 {paths}")
    outcome = lab.play("site.yml", "--tags", "users,frameworks")
    assert outcome.code == 0, outcome.output[-3000:]
    assert lab.shell(f"stat --format %a {paths}").count("755") == 3


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
    lab.shell(f"sed -i '\\|{line}|d' {bundle} && touch --date '1 hour ago' {bundle}")
    repaired = lab.play("site.yml", "--tags", "sources", **own)
    assert (repaired.code, repaired.changed) == (0, 1), repaired.output[-3000:]
    assert line in lab.shell(f"grep {line} {bundle}")
    assert lab.play("site.yml", "--tags", "sources", **own).changed == 0
    assert lab.play("site.yml", "--tags", "sources").code == 0
    assert "none" in lab.shell(f"grep {line} {bundle} || echo none")
