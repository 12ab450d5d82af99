# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence comes from reports: what has none, or has failures, is not proven."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import evidence
from scripts.evidence import NOT_PROVEN, Summary

REPORT = (
    '<testsuites><testsuite name="pytest" tests="5" failures="{failures}" errors="0" skipped="1" time="2.6" '
    'timestamp="2026-11-27T01:02:03"/></testsuites>'
)


def test_every_statement_names_suites_that_have_a_summary_and_no_summary_is_unused() -> None:
    """The page cannot claim what no report says."""
    kept = evidence.load_summaries()
    assert evidence.named_suites() == set(kept)
    assert all(suite == summary.suite and summary.date for suite, summary in kept.items())


def test_report_becomes_a_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts, seconds and the day of the run are kept; reports of one suite are added up."""
    monkeypatch.setattr(evidence, "named_suites", lambda: {"unit", "sanity"})
    for name in ("unit", "sanity-pep8", "sanity-import"):
        (tmp_path / f"{name}.xml").write_text(REPORT.format(failures=0), encoding="utf-8")
    assert evidence.collect(tmp_path, tmp_path) == (["sanity", "unit"], [])
    kept = evidence.load_summaries(tmp_path)
    assert kept["unit"] == Summary("unit", "2026-11-27", passed=4, failed=0, skipped=1, seconds=3)
    assert (kept["sanity"].passed, kept["sanity"].seconds) == (8, 5)


def test_report_that_proves_nothing_is_not_kept(tmp_path: Path) -> None:
    """It is named, so that it can be added to a statement."""
    (tmp_path / "unheard-of.xml").write_text(REPORT.format(failures=0), encoding="utf-8")
    assert evidence.collect(tmp_path, tmp_path) == ([], ["unheard-of"])
    assert list(tmp_path.glob("*.json")) == []


@pytest.mark.parametrize(
    ("suites", "expected"),
    [
        (["good"], "2026-11-27"),
        (["good", "old"], "2026-11-01"),
        ([], NOT_PROVEN),
        (["good", "missing"], f"{NOT_PROVEN}: no report of missing"),
        (["bad"], f"{NOT_PROVEN}: failures in bad"),
        (["skipped"], f"{NOT_PROVEN}: nothing ran in skipped"),
    ],
)
def test_result_of_a_statement(suites: list[str], expected: str) -> None:
    """The oldest report dates a statement; a missing, failed or skipped one leaves it unproven."""
    kept = {
        "good": Summary("good", "2026-11-27", 3, 0, 0, 1),
        "old": Summary("old", "2026-11-01"),
        "bad": Summary("bad", "2026-11-27", 3, 1, 0, 1),
        "skipped": Summary("skipped", "2026-11-27", 0, 0, 3, 1),
    }
    assert evidence.result(suites, kept) == expected
