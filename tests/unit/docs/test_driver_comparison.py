# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of driver installers names a test for each claim, or the command that would prove it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "reference" / "driver-comparison.md").read_text(encoding="utf-8")
TABLE = [line for line in TEXT.splitlines() if line.startswith("| ")][1:]
ROWS = {cells[0]: cells[1:] for cells in ([cell.strip() for cell in line.split("|")[1:-1]] for line in TABLE)}
PROOFS = {
    name: " ".join(rest.split())
    for name, rest in re.findall(r"^- (.+?): (.+?)(?=^- |\Z)", TEXT, re.MULTILINE | re.DOTALL)
}
TESTS = {
    name
    for directory in ("tests", "molecule")
    for path in (ROOT / directory).rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}


@pytest.mark.parametrize("feature", ROWS)
def test_every_feature_has_its_test_or_is_not_proven(feature: str) -> None:
    """A named test exists; a claim that is not proven names the command that would prove it."""
    proof = PROOFS[feature]
    named = re.findall(r"`(test_\w+)`", proof)
    assert named or "**not proven**" in proof
    assert [name for name in named if name not in TESTS] == []
    for claim in proof.split("**not proven**")[1:]:
        assert re.match(r"[^`]*`[^`]{6,}`", claim)
    assert ("not proven" in ROWS[feature][-1]) == ("**not proven**" in proof)


def test_table_of_features_is_whole() -> None:
    """A table that lost its rows would pass everything above."""
    assert len(ROWS) >= 26
    assert set(ROWS) == set(PROOFS)
