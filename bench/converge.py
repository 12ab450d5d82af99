# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure how long converges take, as ratios of one run on one machine, and write bench/RESULTS.md.

On bare local hosts of the same image, each with its own empty cache: bench/by_hand.sh (the same installs one after
another with apt and pip, nothing configured), site.yml, site.yml again; then the roles sources and users on 1, 4 and 16
hosts. The first two are done three times each, in turn, and medians are compared: a mirror may be slow for a few
seconds, and writing is slower for some minutes after files were deleted (recently_deleted() in fs/ext4/ialloc.c passes
over their inodes one by one, for up to six minutes), so neither is always the second, and no host is removed meanwhile.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from bench.hosts import Hosts, machine
from tests.support.paths import ROOT

TURNS = ("byhand1", "bench1", "bench2", "byhand2", "byhand3", "bench3")
"""Hosts in the order in which they are used: neither way is always the one that comes after the other."""
FLEET = (1, 4, 16)
GOALS = {"first": 0.5, "second": 0.3}
"""The first run against the installs by hand, and the second run against the first: these or less."""
LOCKS = [
    *(f"roles/jupyterhub/files/{name}" for name in ("locks/hub.txt", "locks/server.txt")),
    *(f"roles/jupyterhub/files/proxy/{name}" for name in ("package.json", "package-lock.json")),
    "roles/frameworks/files/locks/cpu-py311.txt",
    "roles/tools/files/locks/tools.txt",
]
INSTALLS = re.compile(r"^\S+ : (?:(?:.*\| )?Install|Prefetch \|) .*? -+ ([\d.]+)s$", re.MULTILINE)
"""Lines of ansible.posix.profile_tasks about tasks that install packages or wait for an install, by their names."""
REPORT, RESULTS = ROOT / "build" / "reports" / "bench-converge.json", ROOT / "bench" / "RESULTS.md"


def by_hand(host: Hosts) -> float:
    """Install the same packages by hand and return the seconds; the sources are configured before the clock starts."""
    host.playbook("site.yml", "--tags", "sources")
    with tempfile.TemporaryDirectory() as directory:
        for path in LOCKS:
            shutil.copy(ROOT / path, directory)
        shutil.copy(ROOT / "bench" / "by_hand.sh", directory)
        host.module("copy", f"src={directory}/ dest=/srv/by-hand-locks/ mode=0755")
    host.module("shell", "mkdir -p /srv/by-hand /etc/gpulab-bench && cp /etc/gpulab/sources.env /etc/gpulab-bench/")
    return host.module("command", "sh /srv/by-hand-locks/by_hand.sh /srv/by-hand-locks")[0]


def fleet() -> dict[str, tuple[float, float]]:
    """Converge the roles sources and users on bare hosts, twice; return both times by the number of hosts."""
    times = {}
    for count in FLEET:
        some = Hosts(",".join(f"fleet{number:02}" for number in range(1, count + 1)))
        some.fresh()
        first, _ = some.playbook("site.yml", "--tags", "sources,users")
        second, _ = some.playbook("site.yml", "--tags", "sources,users")
        times[str(count)] = (first, second)
        some.remove()
    return times


def by_turns() -> dict[str, list[float]]:
    """Return the seconds by hand, those of site.yml, and the share of these that was not spent on installs."""
    times: dict[str, list[float]] = {"hand": [], "first": [], "rest": []}
    for name in TURNS:
        host = Hosts(name)
        if name.startswith("byhand"):
            times["hand"].append(by_hand(host))
        else:
            seconds, printed = host.playbook("site.yml")
            times["first"].append(seconds)
            installs = sum(float(installed) for installed in INSTALLS.findall(printed))
            times["rest"].append(1 - installs / seconds)
        print(f"{name}: done", file=sys.stderr)  # noqa: T201
    return times


def measure() -> dict[str, Any]:
    """Run the benchmark and return its report; all times are in seconds."""
    all_hosts = Hosts(",".join(TURNS))
    all_hosts.fresh()
    times = by_turns()
    times["second"] = [Hosts(name).playbook("site.yml")[0] for name in TURNS if name.startswith("bench")]
    all_hosts.remove()
    return {"date": datetime.date.today().isoformat(), "machine": machine(), "times": times, "fleet": fleet()}


def spread(times: list[float]) -> str:
    """Return the fastest and the slowest of several times, divided by their median."""
    return f"{min(times) / median(times):.2f} to {max(times) / median(times):.2f}"


def ratios(report: dict[str, Any]) -> dict[str, float]:
    """Return the two ratios that have goals."""
    hand, first, second = (median(report["times"][name]) for name in ("hand", "first", "second"))
    return {"first": first / hand, "second": second / first}


def page(report: dict[str, Any]) -> str:
    """Return bench/RESULTS.md for a report."""
    times, several = report["times"], report["fleet"]
    found = ratios(report)
    rows = [
        ("`site.yml` on a bare host / the same installs by hand", f"{found['first']:.2f}", f"{GOALS['first']} or less"),
        ("second `site.yml` / first `site.yml`", f"{found['second']:.2f}", f"{GOALS['second']} or less"),
        ("share of the first `site.yml` that is not spent on installs", f"{median(times['rest']):.2f}", ""),
        ("fastest and slowest of three by hand / their median", spread(times["hand"]), ""),
        ("fastest and slowest of three first runs / their median", spread(times["first"]), ""),
        ("fastest and slowest of three second runs / their median", spread(times["second"]), ""),
    ]
    for count, (bare, again) in list(several.items())[1:]:
        alone_bare, alone_again = several["1"]
        name = f"{count} hosts / 1 host, roles sources and users"
        rows.append((f"{name}, bare", f"{bare / alone_bare:.1f}", ""))
        rows.append((f"{name}, second run", f"{again / alone_again:.1f}", ""))
    table = "\n".join(f"| {' | '.join(row)} |" for row in [("what", "ratio", "goal"), ("---", "---", "---"), *rows])
    return (
        "# Benchmark of converges\n\n"
        "Written by `make bench` (`bench/converge.py`) from its own report; do not edit.\n\n"
        f"Measured on {report['date']}: {report['machine']}.\n\n{table}\n"
    )


def main() -> int:
    """Measure, write the report and the page, and print the page; fail when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, help="write the page from this report and measure nothing")
    given = parser.parse_args().report
    report = json.loads(given.read_text(encoding="utf-8")) if given else measure()
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    RESULTS.write_text(page(report), encoding="utf-8")
    print(page(report))  # noqa: T201
    return 0 if all(ratio <= GOALS[name] for name, ratio in ratios(report).items()) else 1


if __name__ == "__main__":
    sys.exit(main())
