# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificate that the hub serves, and the address that users are shown."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.expected import Expected

DIRECTORY = "/etc/gpulab/tls"


@pytest.fixture
def served(expected: Expected) -> None:
    """Skip where the hub serves plain HTTP on loopback."""
    if expected.hub["tls"] == "none":
        pytest.skip("the hub serves no TLS")


def test_certificate_is_valid_today(host: Any, served: None) -> None:
    """Browsers reject one that has expired, or that begins tomorrow."""
    host.check_output("openssl x509 -in %s/certificate.pem -noout -checkend 0", DIRECTORY)
    begin = host.check_output("openssl x509 -in %s/certificate.pem -noout -startdate", DIRECTORY).partition("=")[2]
    host.check_output("test $(date --date=%s +%%s) -le $(date +%%s)", begin)


def test_key_is_that_of_the_certificate(host: Any, served: None) -> None:
    """With another one, the proxy does not start again."""
    public = host.check_output("openssl x509 -in %s/certificate.pem -noout -pubkey", DIRECTORY)
    assert host.check_output("openssl pkey -in %s/key.pem -pubout", DIRECTORY) == public


def test_certificate_is_valid_for_the_requested_names(host: Any, expected: Expected, served: None) -> None:
    """Of a generated certificate; the names of the site's own one are a warning of the run."""
    if expected.hub["tls"] != "generated":
        pytest.skip("the certificate is the site's own")
    for name in expected.hub["names"]:
        kind = "-checkip" if ":" in name or name.replace(".", "").isdigit() else "-checkhost"
        answer = host.check_output("openssl x509 -in %s/certificate.pem -noout %s %s", DIRECTORY, kind, name)
        assert "does match certificate" in answer


def test_users_are_shown_the_first_name(host: Any, expected: Expected) -> None:
    """`gpulab info`, and thereby the login message."""
    if not expected.hub["names"]:
        pytest.skip("the site requests no names")
    first = expected.hub["names"][0]
    assert f"://{f'[{first}]' if ':' in first else first}" in host.check_output("gpulab info")
