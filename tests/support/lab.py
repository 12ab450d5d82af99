# SPDX-License-Identifier: GPL-3.0-or-later
"""Disposable local hosts: make, converge and inspect them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.support.paths import ROOT
from tests.support.processes import run

LOCAL = "molecule/inventory"
"""The inventory of local hosts, which tests may make and remove."""
SUDO = [] if os.geteuid() == 0 else ["sudo"]
"""Local hosts belong to root, as molecule/shared/create.yml makes them."""


@dataclass(frozen=True)
class Outcome:
    """How a run of a playbook ended."""

    code: int
    output: str
    changed: int

    @property
    def text(self) -> str:
        """All output, with blanks for line breaks."""
        return " ".join(self.output.split())


class Lab:
    """A local host, to converge and to inspect."""

    def __init__(self, inventory: str, host: str) -> None:
        self.inventory, self.host = inventory, host

    def ansible(self, program: str, *arguments: str, timeout: float = 2700) -> subprocess.CompletedProcess[str]:
        """Run one of Ansible's programs on the inventory; it has `timeout` seconds."""
        argv = [program, "--inventory", self.inventory, *arguments]
        # Molecule forces colours; the output is compared here.
        plain = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}
        environment = {**os.environ, **plain, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        return run(argv, cwd=ROOT, env=environment, timeout=timeout)

    def play(self, playbook: str, *options: str, **variables: Any) -> Outcome:
        """Run a playbook with extra variables."""
        requested = ["--extra-vars", json.dumps(variables)] if variables else []
        done = self.ansible("ansible-playbook", playbook, "--limit", self.host, *requested, *options)
        recap = next(
            (line for line in done.stdout.splitlines() if line.startswith(self.host) and "changed=" in line), ""
        )
        changed = int(recap.partition("changed=")[2].split()[0]) if recap else 0
        return Outcome(done.returncode, done.stdout + done.stderr, changed)

    def converge(self, **variables: Any) -> Outcome:
        """Run site.yml with extra variables."""
        return self.play("site.yml", **variables)

    def shell(self, command: str) -> str:
        """Run a command on the host."""
        done = self.ansible("ansible", self.host, "-m", "ansible.builtin.shell", "-a", command, "--one-line")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def verify(self, *files: str) -> str:
        """Run the acceptance suite, or some of its files, on the host; it must pass. Return its last line."""
        argv = [
            *(sys.executable, "-m", "pytest", *(files or ["tests/acceptance"]), "-q", "-p", "no:cacheprovider"),
            *(f"--hosts=ansible://{self.host}", f"--ansible-inventory={self.inventory}"),
            *("--passwords", "build/passwords/inventory"),
        ]
        done = run(argv, cwd=ROOT, timeout=1800)
        (ROOT / "build" / f"verify-{self.host}.txt").write_text(done.stdout, encoding="utf-8")
        assert done.returncode == 0, done.stdout[-6000:]
        return done.stdout.splitlines()[-1]

    def within(self, *argv: str) -> str:
        """Run a program in the local host's namespaces from this machine: it needs no network."""
        inspect = ["podman", "inspect", "--format", "{{.State.Pid}}", f"gpulab-{self.host}"]
        pid = run([*SUDO, *inspect], check=True, timeout=60).stdout.strip()
        command = [*SUDO, "nsenter", "--target", pid, "--all", *argv]
        return run(command, check=True, timeout=300).stdout


SomeLab = TypeVar("SomeLab", bound=Lab)


@contextmanager
def bare_host(lab: SomeLab) -> Iterator[SomeLab]:
    """Make a bare local host; remove it at the end, unless the environment variable GPULAB_KEEP is set."""
    for name in ("destroy", "create", "prepare"):
        done = lab.play(f"molecule/shared/{name}.yml")
        assert done.code == 0, done.output[-3000:]
    try:
        yield lab
    finally:
        if not os.environ.get("GPULAB_KEEP"):
            lab.play("molecule/shared/destroy.yml")


@contextmanager
def converged_host(name: str, converged: str | None) -> Iterator[Lab]:
    """Return a converged local host: `converged`, which is kept, or a new one that is removed at the end."""
    if converged:
        yield Lab(LOCAL, converged)
        return
    with bare_host(Lab(LOCAL, name)) as host:
        done = host.converge()
        assert done.code == 0, done.output[-4000:]
        yield host
