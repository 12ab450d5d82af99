# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence comes from reports of tests and of GPUs: what has none, or has failures, is not proven."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from scripts import evidence
from scripts.evidence import NOT_PROVEN, Summary
from scripts.gpu_acceptance import access, compute, driver, hardware, main, page, report
from scripts.gpu_acceptance.context import Context, Environment
from scripts.gpu_acceptance.gpus import Reading
from tests.support.paths import ROOT

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


GPU = {"name": "NVIDIA H200", "memory_gib": 139.8}


def gpu_report(directory: Path, *checks: report.Check, **changes: Any) -> Path:
    """Write a report of a run on a real GPU with these checks, and return its directory."""
    content: dict[str, Any] = {
        **{name: {} if name in ("system", "driver") else [] for name in report.Report.__annotations__},
        "schema": report.SCHEMA,
        "program": "gpu_acceptance",
        "tier": report.REAL,
        "seconds": 300.0,
        "started": "2026-11-27T10:00:00Z",
        "finished": "2026-11-27T10:05:00Z",
        "devices": [GPU, GPU],
        "driver": {"version": "580.95.05", "cuda": "13.0"},
        "checks": list(checks),
        **changes,
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "report.json").write_text(json.dumps(content), encoding="utf-8")
    return directory


def check(name: str, status: str = report.PASSED, tier: int = report.REAL) -> report.Check:
    """Return a check of a report."""
    return report.check(name, status, "reason", tier)


def test_kept_reports_of_gpus_are_complete() -> None:
    """Each can be read, is of a real GPU, is named for its day, and has its page as it is written today."""
    for proof in evidence.load_proofs():
        directory = evidence.PROOF / proof.name
        assert proof.report["tier"] == report.REAL
        assert proof.name.startswith(proof.date)
        assert (directory / "report.md").read_text(encoding="utf-8") == page.page(proof.report)


def test_every_checked_statement_names_checks_that_the_program_has() -> None:
    """A renamed check would leave its statement unproven for ever."""
    context = Context(time.monotonic() + 100, ROOT, environments=[Environment("ml", "python", {"torch": "1"})])
    names = {step.name for step in main.steps(context)} | set(hardware.NAMES) | {access.KEPT}
    names |= {each["name"] for each in driver.checks(driver.Driver(), Reading("NVML"), 0, "none")}
    names |= {f"compute.{key}.gpu" for key in (*compute.FRAMEWORKS, "r")}
    checked = {name for product in evidence.products() for name in product.get("checks", [])}
    assert checked
    assert checked <= names


def test_report_of_a_gpu_is_kept_under_its_date_device_and_driver(tmp_path: Path) -> None:
    """With its page; the evidence lists it."""
    kept = evidence.keep(gpu_report(tmp_path / "gpu1", check("compute.torch.gpu")), tmp_path / "proof")
    assert kept.name == "2026-11-27-2-x-nvidia-h200-580.95.05"
    assert (kept / "report.md").read_text(encoding="utf-8").startswith("# GPU acceptance\n")
    (proof,) = evidence.load_proofs(tmp_path / "proof")
    assert (proof.device, proof.driver, proof.date) == ("2 x NVIDIA H200", "580.95.05", "2026-11-27")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tier": report.MOCK}, "only reports of a real GPU are kept"),
        ({"tier": report.NO_GPU}, "was on tier 0"),
        ({"finished": ""}, "did not come to its end"),
        ({"schema": 7}, "has schema 7"),
    ],
)
def test_report_that_proves_no_gpu_is_not_kept(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    """Of a mock, of a host without a GPU, of an interrupted run, of another release."""
    with pytest.raises(report.ReportError, match=words):
        evidence.keep(gpu_report(tmp_path / "gpu1", **changes), tmp_path / "proof")
    assert not (tmp_path / "proof").exists()


def test_wrong_report_is_one_message_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback."""
    assert evidence.main([str(tmp_path)]) == 1
    assert "report.json: cannot be read as a report" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("checks", "proven"),
    [
        ([check("a"), check("b")], True),
        ([check("a")], False),
        ([check("a"), check("b", report.FAILED)], False),
        ([check("a"), check("b", report.SKIPPED)], False),
        ([check("a"), check("b", tier=report.MOCK)], False),
        ([check("a"), check("b@ml"), check("b@own")], True),
        ([check("a"), check("b@ml"), check("b@own", report.FAILED)], False),
    ],
)
def test_checks_prove_a_statement_together(tmp_path: Path, checks: list[report.Check], proven: bool) -> None:
    """All of them passed on a real GPU in one report, in every environment."""
    gpu_report(tmp_path / "one", *checks)
    where, when = evidence.proven_by(["a", "b"], evidence.load_proofs(tmp_path))
    if proven:
        assert (where, when) == ("2 x NVIDIA H200, driver 580.95.05", "2026-11-27")
    else:
        assert (where, when) == ("none available", f"{NOT_PROVEN}: no report in docs/proof")


def test_newest_report_that_proves_a_statement_counts(tmp_path: Path) -> None:
    """A newer one with a failure does not hide it, and does not count."""
    for day, status in (("24", report.PASSED), ("25", report.PASSED), ("26", report.FAILED)):
        gpu_report(tmp_path / day, check("a", status), started=f"2026-11-{day}T10:00:00Z")
    assert evidence.proven_by(["a"], evidence.load_proofs(tmp_path))[1] == "2026-11-25"


def test_page_says_that_tier_2_is_open_until_a_report_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it lists the report with its counts."""
    found = evidence.load_proofs(tmp_path)
    monkeypatch.setattr(evidence, "load_proofs", lambda: found)
    assert "tier 2 is open" in evidence.gpus()
    gpu_report(tmp_path / "run", check("a"), check("b", report.FAILED))
    found += [evidence.Proof(each.parent.name, report.read(each)) for each in tmp_path.glob("*/report.json")]
    expected = "| [2026-11-27](../proof/run/report.md) | 2 x NVIDIA H200 | 580.95.05 | 1 | 1 | 0 | 0 |"
    assert expected in evidence.gpus()
