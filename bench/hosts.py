# SPDX-License-Identifier: GPL-3.0-or-later
"""Local hosts for benchmarks: create them, run Ansible on them, and measure the time."""

from __future__ import annotations

import datetime
import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.paths import ROOT
from tests.support.processes import run

INVENTORY = "molecule/inventory"
PROFILE = {
    "ANSIBLE_CALLBACKS_ENABLED": "gpulab.core.progress,ansible.posix.profile_tasks",
    "PROFILE_TASKS_TASK_OUTPUT_LIMIT": "all",
}
"""Settings with which a playbook prints the seconds of every task."""


@dataclass(frozen=True)
class Hosts:
    """Local hosts by a pattern of Ansible's."""

    pattern: str

    def ansible(self, program: str, *arguments: str) -> tuple[float, str]:
        """Run one of Ansible's programs; return its seconds and its output, or exit with the output when it fails."""
        argv = [program, "--inventory", INVENTORY, *arguments]
        environment = {**os.environ, **PROFILE, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        begun = time.monotonic()
        done = run(argv, cwd=ROOT, env=environment, timeout=3600)
        if done.returncode:
            sys.exit(f"bench: {' '.join(argv)} failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
        return time.monotonic() - begun, done.stdout

    def playbook(self, name: str, *options: str) -> tuple[float, str]:
        """Run a playbook."""
        return self.ansible("ansible-playbook", name, "--limit", self.pattern, *options)

    def module(self, name: str, arguments: str) -> tuple[float, str]:
        """Run one module of Ansible's."""
        return self.ansible("ansible", self.pattern, "-m", f"ansible.builtin.{name}", "-a", arguments)

    def remove(self) -> None:
        """Remove the hosts."""
        self.playbook("molecule/shared/destroy.yml")

    def fresh(self) -> None:
        """Remove the hosts and create them again."""
        self.remove()
        self.playbook("molecule/shared/create.yml")

    def megabytes(self, *excluded: str) -> int:
        """Return the size of the host's system in megabytes, without apt's files and `excluded` directories."""
        without = " ".join(f"--exclude={path}" for path in ("/var/lib/apt/lists", *excluded))
        only = f"--summarize --one-file-system --block-size=1M {without}"
        _, used = self.module("shell", f"apt-get clean; du {only} /usr /var /etc /opt")
        return sum(int(line.split()[0]) for line in used.splitlines() if line[:1].isdigit())


def machine() -> str:
    """Return the size and the load of this machine."""
    cores = os.cpu_count() or 1
    load = os.getloadavg()[2] / cores
    return f"{cores} cores, {platform.machine()}, load per core {load:.1f}"


def report(ratios: Mapping[str, float], other: str, second_run: float, goal: float) -> int:
    """Print the ratios of a role to `other` installs, and of its second run to its first; return 1 if one is missed."""
    lines = [
        f"{datetime.date.today()}, {machine()}",
        *(f"{name}, role / {other}:  {ratio:.2f}  (goal: {goal} or less)" for name, ratio in ratios.items()),
        f"time, second run / first run:  {second_run:.2f}",
    ]
    print("\n".join(lines))  # noqa: T201
    return 0 if max(ratios.values()) <= goal else 1
