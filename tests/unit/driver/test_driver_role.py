"""What the role promises without a host: the controller stays up, addresses are variables."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles" / "nvidia_driver"
PLAY = """
- hosts: all
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
    __nvidia_driver_now: {{container: '', gpus: [{{address: '0000:01:00.0'}}], nouveau_loaded: true, boot_kernel: k,
                           modules: {{k: [{{version: '580.95.05'}}]}}}}
    __nvidia_driver_plan: {{action: keep}}
    ansible_connection: {connection}
  tasks:
    - ansible.builtin.include_role:
        name: gpulab.core.nvidia_driver
        tasks_from: reboot.yml
"""


ELSEWHERE = '''
DOCUMENTATION = """
name: elsewhere
short_description: this machine, under another name
description: As SSH to oneself is.
author: the gpulab team
"""
from ansible.plugins.connection.local import Connection as Local

class Connection(Local):
    transport = "elsewhere"
'''


@pytest.mark.parametrize("connection", ["local", "ansible.builtin.local", "elsewhere"])
def test_controller_is_never_restarted(tmp_path: Path, connection: str) -> None:
    """By its connection or by its machine-id: in check mode, lest a broken rule do it."""
    (tmp_path / "connection_plugins").mkdir()
    (tmp_path / "connection_plugins" / "elsewhere.py").write_text(ELSEWHERE)
    (tmp_path / "play.yml").write_text(PLAY.format(connection=connection))
    argv = ["ansible-playbook", "--check", "--inventory", "here,", str(tmp_path / "play.yml")]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    text = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "This host is the controller, which is never restarted" in text, done.stdout + done.stderr
    assert "nouveau is loaded" in text
    assert "Take everybody off" not in text


def test_every_address_is_a_variable() -> None:
    """Addresses stand in defaults alone: a closed network changes them all."""
    directories = [ROLE / name for name in ("tasks", "templates", "handlers", "vars")]
    for path in [path for directory in directories for path in directory.iterdir()]:
        assert not re.search(r"https?://\w", path.read_text(encoding="utf-8")), path
    for path in (ROOT / "plugins").glob("*/driver*.py"):
        code = path.read_text(encoding="utf-8").rpartition('"""\n\nimport')[2]
        code = "\n".join(line for line in code.splitlines() if not line.startswith("#"))
        assert not re.search(r"https?://\w", code), path
