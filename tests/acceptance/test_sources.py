# SPDX-License-Identifier: GPL-3.0-or-later
"""Package sources as the host uses them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.expected import Expected

CERTIFICATES = "/usr/local/share/ca-certificates"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def test_bundle_has_every_installed_ca_certificate(host: Any) -> None:
    """update-ca-certificates leaves files out that it cannot read; programs read the bundle alone."""
    paths = host.check_output("find %s -name 'gpulab-*.crt'", CERTIFICATES).split()
    if not paths:
        pytest.skip("no CA certificates are set for this host")
    bundle = host.file(BUNDLE).content_string
    for path in paths:
        assert host.file(path).content_string.strip() in bundle, f"{path} is not in {BUNDLE}"
        assert host.file(path).mode & 0o444 == 0o444


def test_users_have_the_addresses_of_the_package_sources(host: Any, expected: Expected) -> None:
    """In a login shell, as in /etc/gpulab/sources.env: index, proxies, CA bundle; and the bundle can be read."""
    variables = "(PIP|UV|NPM_CONFIG|SSL|REQUESTS|NODE)_[A-Z_]+|[a-zA-Z]+_(proxy|PROXY)"
    lines = host.file("/etc/gpulab/sources.env").content_string.replace("'", "").splitlines()
    written = {line for line in lines if re.match(rf"({variables})=", line)}
    assert written
    for name in expected.present:
        command = f"env; test -r {BUNDLE} && echo readable"
        session = host.run("timeout 120 runuser -l %s -c %s", name, command).stdout.splitlines()
        assert "readable" in session, name
        assert sorted(written - set(session)) == [], name


def test_apt_reads_the_package_sources(host: Any) -> None:
    """A file of the role that apt does not read, or rejects, would leave the host with its old sources."""
    path = "/etc/apt/apt.conf.d/60gpulab-sources"
    if not host.file(path).exists:
        pytest.skip("neither a mirror nor a proxy of apt is set for this host")
    settings = re.findall(r'^\s*([A-Za-z][\w:-]+)\s+"([^"]*)";', host.file(path).content_string, re.MULTILINE)
    dump = host.check_output("apt-config dump")
    assert [name for name, value in settings if f'{name} "{value}";' not in dump] == []
