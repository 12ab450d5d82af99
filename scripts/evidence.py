# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep summaries of test reports and reports of GPUs, and write docs/reference/evidence.md from them.

`python -m scripts.evidence` reads the JUnit reports in build/reports and writes one summary for each suite to
docs/reference/evidence: the date, the counts and the seconds. `python -m scripts.evidence build/proof/gpu1` keeps a
report of `make prove` in docs/proof. products.yml names the suites, or the checks of `make prove`, that prove each
statement, and on which tier. `make docs` writes the page from all of them.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from scripts.doc_tables import cell, table
from scripts.gpu_acceptance import page
from scripts.gpu_acceptance import report as gpu_report
from scripts.gpu_acceptance.report import PASSED, REAL, Report, ReportError

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "build" / "reports"
SUMMARIES = ROOT / "docs" / "reference" / "evidence"
PRODUCTS = SUMMARIES / "products.yml"
PROOF = ROOT / "docs" / "proof"
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


@dataclass(frozen=True)
class Proof:
    """A kept report of `make prove`: the name of its directory, and its content."""

    name: str
    report: Report

    @property
    def date(self) -> str:
        """The day of the run."""
        return self.report["started"][:10]

    @property
    def device(self) -> str:
        """The GPUs, equal ones counted."""
        counted = Counter(device["name"] for device in self.report["devices"])
        return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counted.items())

    @property
    def driver(self) -> str:
        """The version of the driver."""
        return self.report["driver"]["version"]

    def proves(self, check: str) -> bool:
        """Return whether a check passed on a real GPU, in every environment that had it (compute.torch@ml.gpu)."""
        same = [each for each in self.report["checks"] if re.sub(r"@[^.]+", "", each["name"]) == check]
        return bool(same) and all(each["status"] == PASSED and each["tier"] == REAL for each in same)


def load_proofs(directory: Path = PROOF) -> list[Proof]:
    """Return the kept reports of GPUs, the oldest first."""
    found = [Proof(path.parent.name, gpu_report.read(path)) for path in directory.glob("*/report.json")]
    return sorted(found, key=lambda proof: proof.report["started"])


def keep(directory: Path, proof: Path = PROOF) -> Path:
    """Copy a report of a real GPU to docs/proof, with its page and plots; return its directory."""
    content = gpu_report.read(directory / "report.json")
    if content["tier"] != REAL:
        raise ReportError(f"{directory}: the run was on tier {content['tier']}; only reports of a real GPU are kept")
    if not content["finished"]:
        raise ReportError(f"{directory}: the run did not come to its end; run it again with a longer --limit")
    own = Proof("", content)
    name = re.sub(r"[^a-z0-9.]+", "-", f"{own.date} {own.device} {own.driver}".lower()).strip("-")
    gpu_report.write(content, proof / name)
    page.write(content, proof / name)
    return proof / name


def proven_by(checks: Sequence[str], proofs: Sequence[Proof]) -> tuple[str, str]:
    """Return where and when checks of `make prove` passed together last, or that no report has them."""
    for proof in reversed(proofs):
        if all(proof.proves(check) for check in checks):
            return f"{proof.device}, driver {proof.driver}", proof.date
    return "none available", f"{NOT_PROVEN}: no report in docs/proof"


def rows() -> str:
    """Return the table of statements with their results, and after it the limits of each proof."""
    kept, proofs = load_summaries(), load_proofs()
    lines, notes = [], []
    for number, product in enumerate(products(), start=1):
        suites, checks = product.get("suites", []), product.get("checks", [])
        tier = "" if product.get("tier") is None else str(product["tier"])
        names = ", ".join(f"`{name}`" for name in [*suites, *checks])
        host, when = proven_by(checks, proofs) if checks else (product["host"], result(suites, kept))
        lines.append([str(number), cell(product["statement"]), cell(host), tier, names, when])
        if product.get("note"):
            notes.append(f"- {number}: {' '.join(product['note'].split())}\n")
    return (
        table(["", "statement", "where", "tier", "suites or checks", "result"], lines)
        + "\nWhat belongs to a row:\n\n"
        + "".join(notes)
    )


def gpus() -> str:
    """Return the table of the kept reports of GPUs."""
    proofs = load_proofs()
    if not proofs:
        return "**None: tier 2 is open.** No report of a real GPU is kept yet.\n"
    lines = []
    for proof in proofs:
        counts = gpu_report.counts(proof.report)
        link = f"[{proof.date}](../proof/{proof.name}/report.md)"
        lines.append([link, cell(proof.device), cell(proof.driver), *(str(count) for count in counts.values())])
    return table(["report", "GPUs", "driver", *gpu_report.STATUSES], lines)


def suites() -> str:
    """Return the table of the last kept report of each suite."""
    lines = []
    for summary in load_summaries().values():
        counts = [summary.passed, summary.failed, summary.skipped, summary.seconds]
        lines.append(
            [f"`{summary.suite}`", summary.date, *("not kept" if count is None else str(count) for count in counts)]
        )
    return table(["suite", "date", "passed", "failed", "skipped", "seconds"], lines)


def main(directories: Sequence[str]) -> int:
    """Run the command line: keep the named reports of GPUs, or without names the reports of tests."""
    for directory in directories:
        try:
            print(f"kept: {keep(Path(directory)).relative_to(ROOT)}; `make docs` adds it to the page")  # noqa: T201
        except ReportError as error:
            print(f"evidence: {error}", file=sys.stderr)  # noqa: T201
            return 1
    return 0 if directories else collect_all()


def collect_all() -> int:
    """Write the summaries of all suites, and print which; return 1 when there is no report."""
    written, unnamed = collect()
    print(f"{len(written)} summaries written: {', '.join(written)}" if written else "no reports in build/reports")  # noqa: T201
    if unnamed:
        print(f"not kept, because no statement of {PRODUCTS.name} names them: {', '.join(unnamed)}")  # noqa: T201
    return 0 if written else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
