# SPDX-License-Identifier: GPL-3.0-or-later
"""The readable page of a report, in Markdown, and its plots as SVG; both come from report.json alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from .report import FAILED, NOT_SUPPORTED, PASSED, SKIPPED, Check, Figure, Report, counts

TIERS = {
    0: "a host without a GPU: nothing about a GPU is proven",
    1: "the management plane with a mock: nothing about computing is proven",
    2: "a real GPU",
}
MARKS = {PASSED: "passed", FAILED: "**FAILED**", SKIPPED: "skipped", NOT_SUPPORTED: "not supported"}
LONGEST = 110
"""Characters of a table's cell; longer reasons follow the table."""


def write(report: Report, directory: Path) -> None:
    """Write report.md and its plots."""
    (directory / "report.md").write_text(page(report), encoding="utf-8")
    for name, text in plots(report).items():
        (directory / name).write_text(text, encoding="utf-8")


def plain(text: str) -> str:
    """Return a text as one line without control characters, which neither Markdown nor XML may hold."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def cell(text: str) -> str:
    """Return a text that fits into a cell of a table."""
    return plain(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *rows])


def page(report: Report) -> str:
    """Return the page."""
    parts = [heading(report), "## Result\n\n" + summary(report)]
    checks = report["checks"]
    if checks:
        parts.append("## Checks\n\n" + check_table(checks))
    pictures = "".join(f"![{name.removesuffix('.svg')}]({name})\n\n" for name in plots(report))
    figures = [(each["name"], figure) for each in checks for figure in each["figures"]]
    if figures:
        parts.append("## Figures\n\n" + pictures + figure_table(figures))
    parts.append(
        "## Not tested\n\n" + "".join(f"- {cell(text)}\n" for text in [*left_out(report), *report["not_tested"]])
    )
    return "\n".join(parts)


def heading(report: Report) -> str:
    """Return the title and what was tested."""
    devices = [f"{each['name']} ({each['memory_gib']:g} GiB)" for each in report["devices"]]
    driver = report["driver"]
    rows = [
        ("date", report["started"]),
        ("devices", cell(", ".join(devices) or "none")),
        ("driver", cell(f"{driver.get('version') or 'none'}, CUDA {driver.get('cuda') or 'not known'}")),
        ("system", cell(", ".join(f"{name} {value}" for name, value in report["system"].items()))),
        ("tier", f"{report['tier']}: {TIERS.get(report['tier'], 'unknown')}"),
    ]
    # A list: the names of many devices do not fit into a cell.
    return "# GPU acceptance\n\n" + "".join(f"- {name}: {value}\n" for name, value in rows)


def summary(report: Report) -> str:
    """Return the counts, and every failure with its reason."""
    text = (
        ", ".join(f"{count} {status}" for status, count in counts(report).items())
        + f", in {report['seconds']:.0f} s.\n"
    )
    if not report["finished"]:
        text += "\n**The run did not come to its end**: the page has what was done until then.\n"
    failed = [each for each in report["checks"] if each["status"] == FAILED]
    return (
        text + ("\n" if failed else "") + "".join(f"- **{each['name']}**: {cell(each['reason'])}\n" for each in failed)
    )


def check_table(checks: Sequence[Check]) -> str:
    """Return the table of all checks, and after it the reasons that do not fit into a cell."""
    rows, long = [], []
    for each in checks:
        reason = cell(each["reason"])
        if len(reason) > LONGEST:
            long.append(f"- {each['name']}: {reason}\n")
            reason = "see below"
        rows.append([each["name"], MARKS[each["status"]], str(each["tier"]), f"{each['seconds']:.1f}", reason])
    text = table(["check", "result", "tier", "seconds", "reason"], rows)
    return text + ("\n" + "".join(long) if long else "")


def figure_table(figures: Sequence[tuple[str, Figure]]) -> str:
    """Return the table of all figures, with the vendor's where there is one."""
    rows = [
        [
            name,
            cell(each["name"]),
            f"{each['value']:g} {each['unit']}",
            f"{each['published']:g}" if "published" in each else "",
            f"{each['ratio']:.2f}" if "ratio" in each else "",
            cell(each.get("source", "")),
        ]
        for name, each in figures
    ]
    return table(["check", "figure", "measured", "published", "ratio", "source"], rows)


def left_out(report: Report) -> list[str]:
    """Return the parts that the time limit left out."""
    return [f"{name}: left out, because the time limit of the run was reached" for name in report["left_out"]]


def plots(report: Report) -> dict[str, str]:
    """Return the plots by file name: ratios to the published figures, and the seconds of each part."""
    ratios = [
        (each["name"], each["ratio"])
        for check in report["checks"]
        if check["name"].startswith("speed.")
        for each in check["figures"]
        if "ratio" in each
    ]
    shares = [
        (each["name"], each["value"])
        for check in report["checks"]
        if check["name"] in ("speed.epoch", "sharing.time_slicing")
        for each in check["figures"]
        if each["unit"] == "ratio"
    ]
    result = {}
    if ratios:
        result["speed.svg"] = bars("Measured to published", ratios, 1.0)
    if shares:
        result["ratios.svg"] = bars("Ratios", shares, 1.0)
    return result


def bars(title: str, values: Sequence[tuple[str, float]], mark: float) -> str:
    """Return a chart of horizontal bars, with a line at `mark`."""
    largest = max([mark, *(value for _, value in values)]) or 1.0
    left, width, step = 230, 380, 28
    height = 50 + step * len(values)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 80}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="22" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (name, value) in enumerate(values):
        y, length = 38 + step * number, max(1.0, width * max(value, 0.0) / largest)
        parts.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{escape(plain(name))}</text>')
        parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="18" fill="#4477aa"/>')
        parts.append(f'<text x="{left + length + 6:.1f}" y="{y + 14}">{value:.2f}</text>')
    x = left + width * mark / largest
    parts.append(f'<line x1="{x:.1f}" y1="32" x2="{x:.1f}" y2="{height - 8}" stroke="#bb4444" stroke-dasharray="4 3"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"
