# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of installers name the fix."""

from __future__ import annotations

import pytest

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
