# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of the role that need no host: no restart of the controller, addresses as options."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

ROLE = ROOT / "roles" / "nvidia_driver"
PLAY = """
- hosts: all
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
    __nvidia_driver_now: {{reboot_reasons: [nouveau is loaded]}}
    ansible_connection: {connection}
  tasks:
    - ansible.builtin.include_role:
        name: gpulab.core.nvidia_driver
        tasks_from: reboot.yml
"""


OTHER_CONNECTION = '''
DOCUMENTATION = """
name: other
short_description: this machine under another connection
description: Like an SSH connection to this machine.
author: the gpulab team
"""
from ansible.plugins.connection.local import Connection as Local

class Connection(Local):
    transport = "other"
'''


@pytest.mark.parametrize("connection", ["local", "ansible.builtin.local", "other"])
def test_controller_is_never_restarted(tmp_path: Path, connection: str) -> None:
    """Recognised by the connection or the machine id; in check mode, so that a defect does not restart it."""
    (tmp_path / "connection_plugins").mkdir()
    (tmp_path / "connection_plugins" / "other.py").write_text(OTHER_CONNECTION)
    (tmp_path / "play.yml").write_text(PLAY.format(connection=connection))
    argv = ["ansible-playbook", "--check", "--inventory", "here,", str(tmp_path / "play.yml")]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    text = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "This host is the controller, which is never restarted" in text, done.stdout + done.stderr
    assert "nouveau is loaded" in text
    assert "Stop the services that use the GPUs" not in text


def test_every_address_is_an_option() -> None:
    """Addresses are only in the defaults, so that a closed network can change all of them."""
    directories = [ROLE / name for name in ("tasks", "templates", "handlers", "vars")]
    for path in [path for directory in directories for path in directory.iterdir()]:
        assert not re.search(r"https?://\w", path.read_text(encoding="utf-8")), path
    plugins = ROOT / "plugins"
    sources = [plugins / "filter" / "driver.py", *(plugins / "plugin_utils" / "driver").glob("*.py")]
    sources += [path for name in ("gpu", "driver") for path in (plugins / "module_utils" / name).glob("*.py")]
    assert len(sources) > 20
    for path in sources:
        lines = path.read_text(encoding="utf-8").splitlines()
        code = "\n".join(line for line in lines if not line.startswith("#"))
        assert not re.search(r"https?://\w", code), path
