# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: checks with status, reason, figures and tier; written after every check."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

SCHEMA = 1
"""Version of the layout of report.json; a change that readers must know raises it."""

PASSED, FAILED, SKIPPED, NOT_SUPPORTED = "passed", "failed", "skipped", "not supported"
STATUSES = (PASSED, FAILED, SKIPPED, NOT_SUPPORTED)

NO_GPU, MOCK, REAL = 0, 1, 2
"""Tiers: a host without a GPU, its management plane with a mock, a real GPU."""


class Figure(TypedDict, total=False):
    """A measured value with its unit; `published` is the vendor's figure, `ratio` the measured value to it."""

    name: str
    value: float
    unit: str
    published: float
    ratio: float
    source: str


class Check(TypedDict):
    """The result of one check; `reason` says in words what was seen, `tier` on what the check ran."""

    name: str
    status: str
    reason: str
    tier: int
    seconds: float
    figures: list[Figure]


class Device(TypedDict):
    """A GPU as the report's head names it."""

    name: str
    memory_gib: float


class Report(TypedDict):
    """Everything that a run has to report; `finished` is empty until the run ends."""

    schema: int
    program: str
    started: str
    finished: str
    seconds: float
    tier: int
    system: dict[str, str]
    driver: dict[str, str]
    devices: list[Device]
    checks: list[Check]
    left_out: list[str]
    not_tested: list[str]


class ReportError(Exception):
    """A file is not a report; the message says why."""


def figure(name: str, value: float, unit: str, published: float | None = None, source: str = "") -> Figure:
    """Return a figure, with the ratio where the vendor publishes one."""
    result: Figure = {"name": name, "value": round(float(value), 4), "unit": unit}
    if published:
        result |= {"published": published, "ratio": round(float(value) / published, 3), "source": source}
    return result


def check(name: str, status: str, reason: str, tier: int, figures: list[Figure] | None = None) -> Check:
    """Return a check; its seconds are set by the run."""
    return {"name": name, "status": status, "reason": reason, "tier": tier, "seconds": 0.0, "figures": figures or []}


def exit_code(report: Report) -> int:
    """Return 1 when a check failed, 0 when all others passed, were skipped or are not supported."""
    return 1 if any(each["status"] == FAILED for each in report["checks"]) else 0


def counts(report: Report) -> dict[str, int]:
    """Return the number of checks of each status."""
    return {status: sum(each["status"] == status for each in report["checks"]) for status in STATUSES}


def write(report: Report, directory: Path) -> Path:
    """Write report.json in one step, so that a reader never sees half of it; return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "report.json"
    new = directory / f".report.{os.getpid()}.json"
    new.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(path)
    return path


def read(path: Path) -> Report:
    """Return the report in a file; raise ReportError where the file is not one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(f"{path}: cannot be read as a report: {error}") from error
    problem = fault(content)
    if problem:
        raise ReportError(f"{path}: {problem}")
    result: Report = content
    return result


def fault(content: Any) -> str:
    """Return what is wrong with the content of a report, an empty text when nothing is."""
    if not isinstance(content, Mapping):
        return "is not a report: it must be a mapping"
    if content.get("schema") != SCHEMA:
        return f"has schema {content.get('schema')!r}, and this release reads schema {SCHEMA}"
    missing = [name for name in Report.__annotations__ if name not in content]
    if missing:
        return f"lacks {', '.join(missing)}"
    for each in content["checks"]:
        if not isinstance(each, Mapping) or any(name not in each for name in Check.__annotations__):
            return f"has an incomplete check: {each!r}"
        if each["status"] not in STATUSES:
            return f"check {each['name']} has the status {each['status']!r}, which is not one of {', '.join(STATUSES)}"
        if each["status"] == PASSED and each["tier"] > content["tier"]:
            return f"check {each['name']} passed on tier {each['tier']}, and the run was on tier {content['tier']}"
    return ""
