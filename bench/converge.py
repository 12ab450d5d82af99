"""How long converges take, as ratios from one run on one machine.

On bare local hosts of the same image, each with an empty cache of its own: bench/by_hand.sh (the same installs one
after another with apt and pip, nothing configured), site.yml, site.yml again; then the roles sources and users on 1, 4
and 16 hosts. ext4 passes over the inodes of files that were deleted in the last six minutes, one by one
(recently_deleted() in fs/ext4/ialloc.c: 60 s, and 300 s more while the table is not written back): whoever comes second
would pay for the files that the installers of the first deleted. So no host is removed between the two, and the bench
waits before the second until the file system has forgotten them.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time

from hosts import ROOT, Hosts, machine

FLEET = (1, 4, 16)
FORGOTTEN = 370
"""Seconds after which ext4 takes the inodes of deleted files as any others."""
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
    with tempfile.TemporaryDirectory() as folder:
        for path in LOCKS:
            shutil.copy(ROOT / path, folder)
        shutil.copy(ROOT / "bench" / "by_hand.sh", folder)
        host.module("copy", f"src={folder}/ dest=/srv/by-hand-locks/ mode=0755")
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


def main() -> int:
    """Print the ratios."""
    both = Hosts("bench,byhand")
    both.fresh()
    hand = by_hand(Hosts("byhand"))
    print(f"By hand: done. Waiting {FORGOTTEN} s, so that its deleted files cost the next one nothing.", flush=True)  # noqa: T201
    time.sleep(FORGOTTEN)
    host = Hosts("bench")
    first, printed = host.playbook("site.yml")
    installs = sum(float(seconds) for seconds in INSTALLS.findall(printed))
    second, _ = host.playbook("site.yml")
    both.remove()
    several = fleet()
    lines = [
        machine(),
        f"site.yml on a bare host / the same installs by hand:   {first / hand:.2f}  (goal: 0.5 or less)",
        f"second site.yml / first site.yml:                      {second / first:.2f}  (goal: 0.2 or less)",
        f"second site.yml on this machine:                       {second:.0f} s  (goal: 45 s or less)",
        f"share of the first that is not spent on installs:      {1 - installs / first:.2f}",
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
