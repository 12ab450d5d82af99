# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets in variables are found by the name of their key and by their form."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.plugin_utils.secrets import MASK, masked, secrets_of


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"password": "hunter2"}, ["hunter2"]),
        ({"users": [{"passwd_hash": "hunter2"}]}, ["hunter2"]),
        ({"api_token": ["hunter2"]}, ["hunter2"]),
        ({"url": "https://svc:hunt@er2@mirror.example/simple"}, ["svc:hunt@er2"]),
        ({"url": "https://mirror.example/simple"}, []),
        ("ada:$6$salt$hunter2", ["$6$salt$hunter2"]),
        ("-----BEGIN RSA PRIVATE KEY-----\nhunter2\nhunter3\n-----END RSA PRIVATE KEY-----", ["hunter2", "hunter3"]),
        ("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----", []),
        ({"ssh_keys": ["ssh-ed25519 AAAA ada@laptop"], "uid": 1001, "groups": None}, []),
    ],
)
def test_secrets_are_found(value: Any, expected: list[str]) -> None:
    """However deep they are."""
    assert list(secrets_of(value)) == expected


def test_text_is_masked() -> None:
    """Longer secrets first, escaped ones too; a text of a few letters would hide words of the message."""
    text = masked(r"a hunter2-long, hunter2, back\\slash and x", ["hunter2", "hunter2-long", r"back\slash", "x"])
    assert text == f"a {MASK}, {MASK}, {MASK} and x"
