# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of installers name the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.common import host_state
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.installer_messages import explain


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("error: Failed to fetch: `https://mirror.example/simple/numpy/`", "gpulab_sources.pip"),
        (
            "error: Failed to download `numpy==1`\n  cause: end of file before message length reached",
            "gpulab_sources.pip",
        ),
        (
            "npm error code E500\nnpm error 500 Internal Server Error - GET http://mirror/",
            "gpulab_sources.pip, .npm",
        ),
        ("npm error Invalid response body while trying to fetch: Premature close", "gpulab_sources.pip, .npm"),
        ("invalid peer certificate: UnknownIssuer", "gpulab_sources.ca_certificates"),
        (
            "WARNING: The repository located at mirror is not a trusted or secure host",
            "gpulab_sources.pip.trusted_hosts",
        ),
        ("error: Hash mismatch for `numpy==1.26.4`", "not what the lock names"),
        (
            "error: No solution found\n  cause: torch has no wheels with a matching ABI tag",
            "gpulab_sources.torch",
        ),
        ("something else", "not touched"),
    ],
)
def test_errors_of_installers_name_the_fix(output: str, words: str) -> None:
    """The installer's own last lines stay in the message."""
    message = explain("uv", output)
    assert words in message
    assert output in message


@pytest.mark.parametrize(
    "output",
    [
        "E: Release file for http://deb.debian.org/x/InRelease is not valid yet (invalid for another 3h 2min).",
        "invalid peer certificate: certificate not valid yet: verification time 1700000000",
        "error: invalid peer certificate: NotValidYet",
        "npm error code CERT_NOT_YET_VALID\nnpm error certificate is not yet valid",
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate is not yet valid (_ssl.c:1006)",
        "SSL certificate problem: certificate is not yet valid",
    ],
)
def test_wrong_clock_is_named(output: str) -> None:
    """It is neither a question of trust nor of the network."""
    message = explain("uv", output)
    assert "timedatectl" in message
    assert "ca_certificates" not in message


@pytest.mark.parametrize(
    "output",
    [
        "npm error code E401\nnpm error Incorrect or missing password.",
        "HTTP status client error (401 Unauthorized) for url (https://mirror/simple/uv/)",
        "error: Failed to fetch: `https://mirror/`\n  Caused by: HTTP status client error (403 Forbidden)",
        "pip._vendor.requests.exceptions.HTTPError: 401 Client Error: Unauthorized for url",
    ],
)
def test_rejected_login_is_named(output: str) -> None:
    """The message names the variables with addresses."""
    assert "rejects the login" in explain("npm", output)


def test_logins_are_masked() -> None:
    """Installers print addresses as they are."""
    message = explain(
        "npm", "npm error 404 Not Found - GET https://svc:s3cret@mirror/npm/x\nhttps://t0ken@mirror/simple"
    )
    assert "s3cret" not in message
    assert "t0ken" not in message
    assert "https://***@mirror/npm/x" in message


def test_full_file_system_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the path in the output, or by the space that is left at the paths of the installation."""
    mounts = {"/var/cache/gpulab/uv/.tmpX": "/var", "/opt/gpulab/hub": "/opt"}
    monkeypatch.setattr(host_state, "mount_point", lambda path: Path(mounts[str(path)]))
    monkeypatch.setattr(host_state, "full_file_systems", lambda _: [])
    output = "error: failed to write to file `/var/cache/gpulab/uv/.tmpX`: No space left on device (os error 28)"
    assert "the file system mounted at /var (/var/cache/gpulab/uv/.tmpX)" in explain("uv", output)
    monkeypatch.setattr(host_state, "full_file_systems", lambda paths: ["/opt"] if paths else [])
    message = explain(
        "npm", "npm error code ENOSPC\nnpm error nospc see https://docs.npmjs.com/x/y", ["/opt/gpulab/hub"]
    )
    assert "the file system mounted at /opt." in message
