# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible.cfg leaves each site its way of logging in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.processes import run

SSH = """#!/bin/sh
printf '%s\\n' "$@" >>"$SSH_LOG"
exit 255
"""


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """Return the arguments that ssh gets for a host with a password, each on a line."""
    program, log = tmp_path / "ssh", tmp_path / "log"
    program.write_text(SSH)
    program.chmod(0o755)
    variables = f"ansible_user=admin ansible_password=x ansible_ssh_executable={program} ansible_ssh_retries=0"
    (tmp_path / "hosts.ini").write_text(f"[gpu_hosts]\ngpu1 ansible_host=192.0.2.1 {variables}\n")
    argv = ["ansible", "--inventory", str(tmp_path / "hosts.ini"), "gpu1", "-m", "ansible.builtin.raw", "-a", "true"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "SSH_LOG": str(log)}
    run(argv, cwd=ROOT, env=environment, timeout=60)
    return log.read_text().splitlines()


def test_passwords_and_other_methods_are_not_excluded(arguments: list[str]) -> None:
    """Password, keyboard-interactive, GSSAPI and host-based logins are left to ssh and the inventory."""
    assert not [each for each in arguments if "Authentication" in each]
    assert "x" not in arguments


def test_lost_connections_end(arguments: list[str]) -> None:
    """A connection that no longer answers does not hold a run."""
    assert "ServerAliveInterval=15" in arguments
