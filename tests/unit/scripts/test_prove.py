# SPDX-License-Identifier: GPL-3.0-or-later
"""`scripts/prove` names what is missing before it starts Ansible."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.paths import ROOT


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "prove: name an inventory: make prove INVENTORY=inventory/mylab"),
        (["inventory/nowhere"], "prove: there is no inventory inventory/nowhere: copy inventory/example to it"),
    ],
)
def test_missing_inventory_is_named(arguments: list[str], words: str) -> None:
    """With exit code 2."""
    argv = [str(ROOT / "scripts" / "prove"), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert words in done.stderr
