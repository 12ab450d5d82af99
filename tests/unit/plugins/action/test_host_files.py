# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin host_files: templates of the role are rendered on the controller."""

from __future__ import annotations

import getpass
import grp
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT
from tests.support.processes import run

SECONDS = 120


def play(directory: Path, entry: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run one role with one entry on this machine and return the finished process."""
    (directory / "roles/demo/tasks").mkdir(parents=True, exist_ok=True)
    (directory / "roles/demo/templates").mkdir(exist_ok=True)
    (directory / "roles/demo/templates/demo.conf.j2").write_text("host {{ inventory_hostname }} port {{ demo_port }}\n")
    owner = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}
    task = {"name": "Install a file", "gpulab.core.host_files": {"files": [{**owner, "mode": "0644", **entry}]}}
    (directory / "roles/demo/tasks/main.yml").write_text(json.dumps([task]))
    (directory / "ansible.cfg").write_text("[defaults]\n")
    site = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"demo_port": 22, "ansible_python_interpreter": sys.executable},
        "roles": ["demo"],
    }
    (directory / "site.yml").write_text(json.dumps([site]))
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
    }
    argv = ["ansible-playbook", "--connection", "local", "--inventory", "localhost,", "site.yml"]
    return run(argv, cwd=directory, env=environment, timeout=SECONDS)


def test_template_of_the_role_is_rendered_with_variables(tmp_path: Path) -> None:
    """The play's variables and those of the entry are known; the second run changes nothing."""
    entry = {"path": str(tmp_path / "demo.conf"), "src": "demo.conf.j2"}
    assert play(tmp_path, entry).returncode == 0
    assert (tmp_path / "demo.conf").read_text() == "host localhost port 22\n"
    changed = play(tmp_path, {**entry, "vars": {"demo_port": 2222}})
    assert "changed=1" in changed.stdout
    assert (tmp_path / "demo.conf").read_text() == "host localhost port 2222\n"
    assert "changed=0" in play(tmp_path, {**entry, "vars": {"demo_port": 2222}}).stdout


def test_missing_template_and_two_sources_are_named(tmp_path: Path) -> None:
    """Nothing is written in either case."""
    path = str(tmp_path / "demo.conf")
    missing = play(tmp_path, {"path": path, "src": "no-such.j2"})
    assert missing.returncode != 0
    assert "no-such.j2" in missing.stdout + missing.stderr
    both = play(tmp_path, {"path": path, "src": "demo.conf.j2", "content": "x"})
    assert "give src or content, not both" in both.stdout + both.stderr
    assert not Path(path).exists()
