"""How long converges take, as ratios from one run on one machine.

On bare local hosts of the same image with empty caches: bench/by_hand.sh (the same installs one after another with apt
and pip, nothing configured), site.yml, site.yml again; then the roles sources and users on 1, 4 and 16 hosts.
"""

from __future__ import annotations

import datetime
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INVENTORY, HOST, CACHE = "molecule/inventory", "bench", "gpulab-bench-cache"
FLEET = (1, 4, 16)
LOCKS = [
    *(f"roles/jupyterhub/files/{name}" for name in ("locks/hub.txt", "locks/server.txt")),
    *(f"roles/jupyterhub/files/proxy/{name}" for name in ("package.json", "package-lock.json")),
    "roles/frameworks/files/locks/cpu-py311.txt",
    "roles/tools/files/locks/tools.txt",
]
INSTALLS = re.compile(r"^\S+ : (?:.*\| )?Install .*? -+ ([\d.]+)s$", re.MULTILINE)
"""The lines of ansible.posix.profile_tasks about tasks that install packages, by our naming of tasks."""


def ansible(program: str, *arguments: str) -> str:
    """Run one of Ansible's programs and give what it printed; stop with its last words when it fails."""
    argv = [program, "--inventory", INVENTORY, *arguments]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks",
        "PROFILE_TASKS_TASK_OUTPUT_LIMIT": "all",
    }
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"bench: {' '.join(argv)} failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return done.stdout


def playbook(name: str, *options: str, limit: str = HOST) -> tuple[float, str]:
    """Run a playbook; give the seconds that it took, and what it printed."""
    begun = time.monotonic()
    printed = ansible("ansible-playbook", name, "--limit", limit, "--extra-vars", f"local_host_cache={CACHE}", *options)
    return time.monotonic() - begun, printed


def fresh(limit: str = HOST) -> None:
    """Make hosts anew, with an empty cache."""
    remove(limit)
    playbook("molecule/shared/create.yml", limit=limit)


def remove(limit: str = HOST) -> None:
    """Remove hosts and their cache."""
    playbook("molecule/shared/destroy.yml", limit=limit)
    subprocess.run(["podman", "volume", "rm", CACHE], capture_output=True, check=False)


def by_hand() -> float:
    """Install the same things by hand and give the seconds that it took; the sources are set up before the clock."""
    playbook("site.yml", "--tags", "sources")
    with tempfile.TemporaryDirectory() as folder:
        for path in LOCKS:
            shutil.copy(ROOT / path, folder)
        shutil.copy(ROOT / "bench" / "by_hand.sh", folder)
        ansible(
            "ansible", HOST, "-m", "ansible.builtin.copy", "-a", f"src={folder}/ dest=/srv/by-hand-locks/ mode=0755"
        )
    prepare = "mkdir -p /srv/by-hand /etc/gpulab-bench && cp /etc/gpulab/sources.env /etc/gpulab-bench/"
    ansible("ansible", HOST, "-m", "ansible.builtin.shell", "-a", prepare)
    begun = time.monotonic()
    ansible(
        "ansible", HOST, "-m", "ansible.builtin.command", "-a", "sh /srv/by-hand-locks/by_hand.sh /srv/by-hand-locks"
    )
    return time.monotonic() - begun


def fleet() -> dict[int, tuple[float, float]]:
    """Converge the roles sources and users on bare hosts, twice; give both times by the number of hosts."""
    times = {}
    for count in FLEET:
        limit = ",".join(f"fleet{number:02}" for number in range(1, count + 1))
        fresh(limit)
        first, _ = playbook("site.yml", "--tags", "sources,users", limit=limit)
        second, _ = playbook("site.yml", "--tags", "sources,users", limit=limit)
        times[count] = (first, second)
        remove(limit)
    return times


def main() -> int:
    """Print the ratios."""
    fresh()
    hand = by_hand()
    fresh()
    first, printed = playbook("site.yml")
    installs = sum(float(seconds) for seconds in INSTALLS.findall(printed))
    second, _ = playbook("site.yml")
    remove()
    several = fleet()
    load = os.getloadavg()[2] / (os.cpu_count() or 1)
    lines = [
        f"{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, load per core {load:.1f}",
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
