# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep summaries of test reports, and write docs/reference/evidence.md from them.

`python -m scripts.evidence` reads the JUnit reports in build/reports and writes one summary for each suite to
docs/reference/evidence: the date, the counts and the seconds. products.yml there names the suites that prove each
statement, and on which tier. `make docs` writes the page from both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from scripts.doc_tables import cell, table

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "build" / "reports"
SUMMARIES = ROOT / "docs" / "reference" / "evidence"
PRODUCTS = SUMMARIES / "products.yml"
NOT_PROVEN = "**not proven**"


@dataclass(frozen=True)
class Summary:
    """What one suite's last kept report says; counts are None where only the date was kept."""

    suite: str
    date: str
    passed: int | None = None
    failed: int | None = None
    skipped: int | None = None
    seconds: int | None = None


def suite_of(report: Path) -> str:
    """Return the name of the suite that a report belongs to: ansible-test writes one report for each sanity test."""
    return "sanity" if report.stem.startswith("sanity-") else report.stem


def summarise(suite: str, reports: Sequence[Path]) -> Summary:
    """Return the sum of all reports of a suite."""
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    seconds, dates = 0.0, []
    for report in reports:
        for element in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314  # our own tests wrote it
            for key in counts:
                counts[key] += int(element.get(key, 0))
            seconds += float(element.get("time", 0))
            dates.append((element.get("timestamp") or "")[:10])
    failed = counts["failures"] + counts["errors"]
    passed = counts["tests"] - failed - counts["skipped"]
    return Summary(suite, max(dates, default=""), passed, failed, counts["skipped"], round(seconds))


def collect(reports: Path = REPORTS, summaries: Path = SUMMARIES) -> tuple[list[str], list[str]]:
    """Write a summary for each suite that has a report; return these suites, and those that are in no statement."""
    suites: dict[str, list[Path]] = {}
    for report in sorted(reports.glob("*.xml")):
        suites.setdefault(suite_of(report), []).append(report)
    named = named_suites()
    for suite in named & set(suites):
        text = json.dumps(asdict(summarise(suite, suites[suite])), indent=2) + "\n"
        (summaries / f"{suite}.json").write_text(text, encoding="utf-8")
    return sorted(named & set(suites)), sorted(set(suites) - named)


def products() -> list[dict[str, Any]]:
    """Return the statements that the project makes, with the suites that prove them."""
    return list(yaml.safe_load(PRODUCTS.read_text(encoding="utf-8"))["products"])


def named_suites() -> set[str]:
    """Return the suites that prove something."""
    return {suite for product in products() for suite in product.get("suites", [])}


def load_summaries(directory: Path = SUMMARIES) -> dict[str, Summary]:
    """Return the kept summaries by suite."""
    loaded = [Summary(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(directory.glob("*.json"))]
    return {summary.suite: summary for summary in loaded}


def result(suites: Sequence[str], kept: dict[str, Summary]) -> str:
    """Return the result of a statement: a date when all its suites passed, otherwise why it is not proven."""
    if not suites:
        return NOT_PROVEN
    missing = [suite for suite in suites if suite not in kept]
    if missing:
        return f"{NOT_PROVEN}: no report of {', '.join(missing)}"
    failed = [suite for suite in suites if kept[suite].failed]
    if failed:
        return f"{NOT_PROVEN}: failures in {', '.join(failed)}"
    empty = [suite for suite in suites if kept[suite].passed == 0]
    if empty:
        return f"{NOT_PROVEN}: nothing ran in {', '.join(empty)}"
    # The oldest report is what holds for all of them.
    return min(kept[suite].date for suite in suites)


def rows() -> str:
    """Return the table of statements with their results, and after it the limits of each proof."""
    kept = load_summaries()
    lines, notes = [], []
    for number, product in enumerate(products(), start=1):
        suites = product.get("suites", [])
        tier = "" if product.get("tier") is None else str(product["tier"])
        proof = ", ".join(f"`{suite}`" for suite in suites)
        lines.append(
            [str(number), cell(product["statement"]), cell(product["host"]), tier, proof, result(suites, kept)]
        )
        if product.get("note"):
            notes.append(f"- {number}: {' '.join(product['note'].split())}\n")
    return (
        table(["", "statement", "where", "tier", "suites", "result"], lines)
        + "\nWhat belongs to a row:\n\n"
        + "".join(notes)
    )


def suites() -> str:
    """Return the table of the last kept report of each suite."""
    lines = []
    for summary in load_summaries().values():
        counts = [summary.passed, summary.failed, summary.skipped, summary.seconds]
        lines.append(
            [f"`{summary.suite}`", summary.date, *("not kept" if count is None else str(count) for count in counts)]
        )
    return table(["suite", "date", "passed", "failed", "skipped", "seconds"], lines)


def main() -> int:
    """Run the command line."""
    written, unnamed = collect()
    print(f"{len(written)} summaries written: {', '.join(written)}" if written else "no reports in build/reports")  # noqa: T201
    if unnamed:
        print(f"not kept, because no statement of {PRODUCTS.name} names them: {', '.join(unnamed)}")  # noqa: T201
    return 0 if written else 1


if __name__ == "__main__":
    sys.exit(main())
