# SPDX-License-Identifier: GPL-3.0-or-later
"""Disposable local hosts: make, converge and inspect them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

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
    run: str = ""
    """All output of a run with several settings; `output` has the messages about one of them."""

    @property
    def text(self) -> str:
        """All output, with blanks for line breaks."""
        return " ".join(self.output.split())


def recap(output: str, host: str, name: str) -> int:
    """Return a count of a host's recap, such as `changed`; 0 where the run did not come so far."""
    line = next((line for line in output.splitlines() if line.startswith(host) and f"{name}=" in line), "")
    return int(line.partition(f"{name}=")[2].split()[0]) if line else 0


def host_outcome(output: str, host: str) -> Outcome:
    """Return how a run ended for one of its hosts, with the results that name it."""
    results = re.split(r"^(?=[a-z]+: \[|\[ERROR\]|TASK |PLAY )", output, flags=re.MULTILINE)
    own = "".join(result for result in results if re.match(rf"[a-z]+: \[{re.escape(host)}[\] ]", result))
    failed = recap(output, host, "failed") + recap(output, host, "unreachable")
    # YAML doubles an apostrophe inside a quoted text.
    return Outcome(failed, own.replace("''", "'"), recap(output, host, "changed"), output)


class Lab:
    """A local host, to converge and to inspect."""

    def __init__(self, inventory: str, host: str) -> None:
        self.inventory, self.host = inventory, host

    def ansible(
        self, program: str, *arguments: str, timeout: float = 2700, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of Ansible's programs on the inventory; it has `timeout` seconds."""
        argv = [program, "--inventory", self.inventory, *arguments]
        # Molecule forces colours; the output is compared here.
        plain = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}
        variables = {**os.environ, **plain, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **(environment or {})}
        if program == "ansible":
            # What a test reads on a host by a single command, secrets among it, is not an output of the project.
            variables.pop("ANSIBLE_LOG_PATH", None)
        return run(argv, cwd=ROOT, env=variables, timeout=timeout)

    def play(self, playbook: str, *options: str, **variables: Any) -> Outcome:
        """Run a playbook with extra variables."""
        requested = ["--extra-vars", json.dumps(variables)] if variables else []
        done = self.ansible("ansible-playbook", playbook, "--limit", self.host, *requested, *options)
        return Outcome(done.returncode, done.stdout + done.stderr, recap(done.stdout, self.host, "changed"))

    def converge(self, **variables: Any) -> Outcome:
        """Run site.yml with extra variables."""
        return self.play("site.yml", **variables)

    def preflight(self, settings: Sequence[dict[str, Any]], *options: str) -> list[Outcome]:
        """Run the checks of site.yml with several settings at once, and return how each of them ended.

        Each setting belongs to a name of its own for the same host, so that one run checks all; no role is applied.
        A result has the messages about its own name only.
        """
        listed = self.ansible("ansible-inventory", "--host", self.host, timeout=120)
        assert listed.returncode == 0, listed.stderr
        names = [f"setting{number:03}" for number in range(len(settings))]
        hosts = {name: {**json.loads(listed.stdout), **setting} for name, setting in zip(names, settings, strict=True)}
        # As deep as the host's own inventory: its variables name files by way of inventory_dir.
        path = ROOT / "build" / "inventory" / "hosts.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"gpu_hosts": {"hosts": hosts}}), encoding="utf-8")
        path.chmod(0o600)
        # Each name goes on by itself (free), through few sessions of the one connection.
        argv = ["site.yml", "--inventory", str(path), "--limit", "setting*", "--tags", "none", "--forks", "4", *options]
        done = self.ansible("ansible-playbook", *argv, environment={"ANSIBLE_STRATEGY": "ansible.builtin.free"})
        return [host_outcome(done.stdout + done.stderr, name) for name in names]

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


def add_converged_option(parser: pytest.Parser) -> None:
    """Add pytest's option --converged, for converged_host."""
    parser.addoption(
        "--converged", metavar="HOST", help="use this converged local host, which is kept, instead of a new one"
    )


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
