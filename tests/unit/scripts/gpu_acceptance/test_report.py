# SPDX-License-Identifier: GPL-3.0-or-later
"""The report survives any text, number and order of checks, and its page can be read."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.gpu_acceptance import page, report
from scripts.gpu_acceptance.report import FAILED, PASSED, REAL, SKIPPED, STATUSES, Check, Report

TEXT = st.text(max_size=200)
NUMBER = st.floats(min_value=-1e12, max_value=1e12, allow_nan=False)
FIGURES = st.builds(report.figure, TEXT, NUMBER, TEXT, st.none() | st.floats(1e-3, 1e6), TEXT)
CHECKS = st.builds(
    report.check,
    st.from_regex(r"(speed|hardware|sharing)\.[a-z_]{1,20}", fullmatch=True),
    st.sampled_from(STATUSES),
    TEXT,
    st.integers(0, 2),
    st.lists(FIGURES, max_size=3),
)


def made(checks: list[Check], **values: Any) -> Report:
    """Return a report of a run on a real GPU with these checks."""
    content: Report = {
        "schema": report.SCHEMA,
        "program": "gpu_acceptance",
        "started": "2026-11-27T10:00:00Z",
        "finished": "2026-11-27T10:05:00Z",
        "seconds": 300.0,
        "tier": REAL,
        "system": {"os": "Debian GNU/Linux 12 (bookworm)"},
        "driver": {"version": "580.95.05", "cuda": "13.0", "read_by": "NVML"},
        "devices": [{"name": "NVIDIA Test", "memory_gib": 40.0}],
        "checks": checks,
        "left_out": [],
        "not_tested": ["another thing"],
    }
    return {**content, **values}  # type: ignore[typeddict-item]


@settings(max_examples=80, deadline=None)
@given(checks=st.lists(CHECKS, max_size=6), left_out=st.lists(TEXT, max_size=2))
def test_every_report_is_read_back_and_has_a_page(
    tmp_path_factory: pytest.TempPathFactory, checks: list[Check], left_out: list[str]
) -> None:
    """Whatever a driver or a framework prints: the file has it all, the page a row for each, the plots are XML."""
    content = made(checks, left_out=left_out)
    directory = tmp_path_factory.mktemp("report")
    assert report.read(report.write(content, directory)) == content
    page.write(content, directory)
    text = (directory / "report.md").read_text(encoding="utf-8")
    # A heading is a line of its own; a reason may hold the same words.
    part = text.partition("\n## Checks\n")[2].partition("\n## Figures\n")[0].partition("\n## Not tested\n")[0]
    rows = [line for line in part.split("\n") if line.startswith(("| hardware", "| speed", "| sharing"))]
    assert len(rows) == len(checks)
    assert all(len(re.split(r"(?<!\\)\|", row)) == 7 for row in rows)
    for plot in directory.glob("*.svg"):
        ElementTree.parse(plot)  # noqa: S314  # written above
    assert {path.suffix for path in directory.iterdir()} <= {".json", ".md", ".svg"}
    assert (report.exit_code(content) == 1) == any(each["status"] == FAILED for each in checks)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 99}, "has schema 99, and this release reads schema 1"),
        ({"checks": [{"name": "x"}]}, "incomplete check"),
        ({"checks": [report.check("x", "fine", "", 2)]}, "status 'fine'"),
        ({"tier": 1}, "passed on tier 2, and the run was on tier 1"),
    ],
)
def test_file_that_is_not_a_report_is_rejected(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    """With the file and the reason; a mock's run cannot hold a check of a real GPU."""
    content = {**made([report.check("compute.torch.gpu", PASSED, "", REAL)]), **change}
    path = tmp_path / "report.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(report.ReportError, match=re.escape(str(path))) as caught:
        report.read(path)
    assert words in str(caught.value)


def test_half_a_file_is_rejected(tmp_path: Path) -> None:
    """As after a full disk."""
    (tmp_path / "report.json").write_text("{", encoding="utf-8")
    with pytest.raises(report.ReportError, match="cannot be read as a report"):
        report.read(tmp_path / "report.json")
    (tmp_path / "report.json").write_text("[]", encoding="utf-8")
    with pytest.raises(report.ReportError, match="must be a mapping"):
        report.read(tmp_path / "report.json")


def test_page_names_failures_what_was_left_out_and_what_is_not_tested() -> None:
    """In words, at the top and at the end; an interrupted run says so."""
    checks = [report.check("hardware.pcie", FAILED, "GPU 0 uses 8 of 16 lanes", REAL)]
    text = page.page(made(checks, left_out=["speed.epoch"], finished=""))
    assert "- **hardware.pcie**: GPU 0 uses 8 of 16 lanes" in text
    assert "- speed.epoch: left out, because the time limit" in text
    assert "- another thing" in text
    assert "did not come to its end" in text


def test_figures_stand_next_to_the_published_ones() -> None:
    """With their ratio and source, in the table and in the plot."""
    figures = [report.figure("memory bandwidth", 240, "GB/s", 320, "data sheet")]
    content = made([report.check("speed.torch", PASSED, "", REAL, figures)])
    assert "| speed.torch | memory bandwidth | 240 GB/s | 320 | 0.75 | data sheet |" in page.page(content)
    assert ">0.75<" in page.plots(content)["speed.svg"]


def test_skipped_checks_do_not_fail_a_run() -> None:
    """They are counted."""
    content = made([report.check("a", SKIPPED, "no GPU", 0), report.check("b", PASSED, "", 0)])
    assert report.exit_code(content) == 0
    assert report.counts(content) == {"passed": 1, "failed": 0, "skipped": 1, "not supported": 0}
