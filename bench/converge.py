"""How long converges take, as ratios from one run on one machine.

On bare local hosts of the same image, each with an empty cache of its own: bench/by_hand.sh (the same installs one
after another with apt and pip, nothing configured), site.yml, site.yml again; then the roles sources and users on 1, 4
and 16 hosts. The first two are done three times each, in turn, and medians are compared: a mirror may be slow for a few
seconds, and whoever works on a file system pays for the files that were deleted just before (recently_deleted() in
fs/ext4/ialloc.c passes over their inodes one by one, for up to six minutes), so neither is always the second, and no
host is removed in between.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from statistics import median

from bench.hosts import Hosts, machine
from tests.support.paths import ROOT

TURNS = ("byhand1", "bench1", "bench2", "byhand2", "byhand3", "bench3")
"""Hosts in the order in which they are used: neither way is always the one that comes after the other."""
FLEET = (1, 4, 16)
LOCKS = [
    *(f"roles/jupyterhub/files/{name}" for name in ("locks/hub.txt", "locks/server.txt")),
    *(f"roles/jupyterhub/files/proxy/{name}" for name in ("package.json", "package-lock.json")),
    "roles/frameworks/files/locks/cpu-py311.txt",
    "roles/tools/files/locks/tools.txt",
]
INSTALLS = re.compile(r"^\S+ : (?:(?:.*\| )?Install|Finish \|) .*? -+ ([\d.]+)s$", re.MULTILINE)
"""Lines of ansible.posix.profile_tasks about tasks that install packages or wait for that, by our naming of tasks."""


def by_hand(host: Hosts) -> float:
    """Install the same things by hand and give the seconds that it took; the sources are set up before the clock."""
    host.playbook("site.yml", "--tags", "sources")
    with tempfile.TemporaryDirectory() as directory:
        for path in LOCKS:
            shutil.copy(ROOT / path, directory)
        shutil.copy(ROOT / "bench" / "by_hand.sh", directory)
        host.module("copy", f"src={directory}/ dest=/srv/by-hand-locks/ mode=0755")
    host.module("shell", "mkdir -p /srv/by-hand /etc/gpulab-bench && cp /etc/gpulab/sources.env /etc/gpulab-bench/")
    return host.module("command", "sh /srv/by-hand-locks/by_hand.sh /srv/by-hand-locks")[0]


def fleet() -> dict[int, tuple[float, float]]:
    """Converge the roles sources and users on bare hosts, twice; give both times by the number of hosts."""
    times = {}
    for count in FLEET:
        some = Hosts(",".join(f"fleet{number:02}" for number in range(1, count + 1)))
        some.fresh()
        first, _ = some.playbook("site.yml", "--tags", "sources,users")
        second, _ = some.playbook("site.yml", "--tags", "sources,users")
        times[count] = (first, second)
        some.remove()
    return times


def spread(times: list[float]) -> str:
    """Show how far apart several times are."""
    return f"{min(times) / median(times):.2f}-{max(times) / median(times):.2f}"


def by_turns() -> tuple[list[float], list[float], list[float]]:
    """Give the seconds by hand, those of site.yml, and what share of these was not spent on installs."""
    hand, first, rest = [], [], []
    for name in TURNS:
        host = Hosts(name)
        if name.startswith("byhand"):
            hand.append(by_hand(host))
        else:
            seconds, printed = host.playbook("site.yml")
            first.append(seconds)
            rest.append(1 - sum(float(each) for each in INSTALLS.findall(printed)) / seconds)
        print(f"{name}: done", file=sys.stderr)  # noqa: T201
    return hand, first, rest


def main() -> int:
    """Print the ratios."""
    all_hosts = Hosts(",".join(TURNS))
    all_hosts.fresh()
    hands, firsts, rests = by_turns()
    seconds = [Hosts(name).playbook("site.yml")[0] for name in TURNS if name.startswith("bench")]
    all_hosts.remove()
    hand, first, second = median(hands), median(firsts), median(seconds)
    several = fleet()
    lines = [
        machine(),
        f"site.yml on a bare host / the same installs by hand:   {first / hand:.2f}  (goal: 0.5 or less)",
        f"second site.yml / first site.yml:                      {second / first:.2f}  (goal: 0.2 or less)",
        f"second site.yml on this machine:                       {second:.0f} s  (goal: 45 s or less)",
        f"share of the first that is not spent on installs:      {median(rests):.2f}",
        f"the fastest and the slowest of three / their median:    {spread(hands)} by hand, {spread(firsts)} first, "
        f"{spread(seconds)} second",
    ]
    for count, (bare, again) in several.items():
        alone_bare, alone_again = several[1]
        lines.append(
            f"{count:>2} hosts / 1 host, roles sources and users:           "
            f" {bare / alone_bare:.1f}  bare, {again / alone_again:.1f}  again"
        )
    print("\n".join(lines))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
