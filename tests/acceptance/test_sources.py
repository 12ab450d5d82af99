# SPDX-License-Identifier: GPL-3.0-or-later
"""Package sources as the host uses them."""

from __future__ import annotations

from typing import Any

import pytest

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
