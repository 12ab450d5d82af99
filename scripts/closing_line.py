# SPDX-License-Identifier: GPL-3.0-or-later
"""Add up the reports of several pytest runs and print one closing line."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

REPORTS = Path(__file__).resolve().parents[1] / "build" / "reports"


def main() -> int:
    """Print the sum; fail when anything failed or nothing ran."""
    total = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for path in sorted(REPORTS.glob("*.xml")):
        for suite in ElementTree.parse(path).getroot().iter("testsuite"):  # noqa: S314  # our own pytest wrote it
            for key in total:
                total[key] += int(suite.get(key, 0))
    failed = total["failures"] + total["errors"]
    passed = total["tests"] - failed - total["skipped"]
    print(f"{passed} passed, {failed} failed, {total['skipped']} skipped")  # noqa: T201
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
