# SPDX-License-Identifier: GPL-3.0-or-later
"""An independent Ansible project outside the checkout."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import processes
from tests.support.paths import ROOT

HOST = "reuse"
PLAYBOOK = """
- name: Give a third department its users
  hosts: campus
  gather_facts: true
  roles:
    - role: gpulab.core.sources
      vars:
        sources_file: /etc/campus/sources.env
        sources_pip: {trusted_hosts: [wheels.campus.example]}
    - role: gpulab.core.users
      vars:
        users_group: mathematics
        users_admin_group: mathematics-admins
        users_accounts: [{name: sofia, admin: true}, {name: carl}]
"""


def run(directory: Path, *argv: str) -> str:
    """Run a program in a directory, without any of this session's Ansible settings; return its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHONPATH"))}
    environment["ANSIBLE_NOCOLOR"] = "1"
    done = processes.run(argv, cwd=directory, env=environment, timeout=900)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def connection() -> dict[str, Any]:
    """Return the connection variables of the host of the scenario `reuse`."""
    shown = run(ROOT, "ansible-inventory", "--inventory", "molecule/inventory", "--host", HOST)
    values = {name: value for name, value in json.loads(shown).items() if name.startswith("ansible_")}
    if "ansible_port" not in values:
        pytest.fail("the host `reuse` is not up: run `molecule converge -s reuse` first, or `make reuse` for all of it")
    return values


class Project:
    """A directory with an ansible.cfg, an inventory, a playbook and installed collections."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.collections = directory / "collections"
        (directory / "ansible.cfg").write_text(
            f"[defaults]\ninventory = hosts.yml\ncollections_path = {self.collections}\nroles_path = "
            f"{directory}/roles\n"
        )
        (directory / "site.yml").write_text(PLAYBOOK)

    def install(self, artefact: Path) -> None:
        """Install the artefact; the collections that it needs must be installed already, nothing is downloaded."""
        self.ansible("ansible-galaxy", "collection", "install", str(artefact), "-p", str(self.collections), "--offline")

    def ansible(self, *argv: str) -> str:
        """Run one of Ansible's programs in the project."""
        return run(self.directory, *argv)

    def converge(self) -> str:
        """Run the playbook on the host; return its output."""
        hosts = {"campus": {"hosts": {HOST: connection()}}}
        (self.directory / "hosts.yml").write_text(yaml.safe_dump(hosts))
        return self.ansible("ansible-playbook", "-vvv", "site.yml")
