"""Properties of the role that need no host: no restart of the controller, addresses as options, links to tests."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

ROLE = ROOT / "roles" / "nvidia_driver"
DOCS = ROOT / "docs" / "driver.md"
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


def rows() -> dict[str, str]:
    """Return the last cell of each row of the table of features."""
    table = DOCS.read_text(encoding="utf-8").partition("## Features, compared")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert all(len(line) == 6 for line in cells)
    return {line[0].strip(): line[-1].strip() for line in cells}


def links(cell: str) -> list[tuple[str, str]]:
    """Return the links of a cell, as function and file."""
    return re.findall(r"\[`(\w+)`\]\(([^)]+)\)", cell)


@pytest.mark.parametrize("feature", rows())
def test_every_feature_has_its_test_or_is_not_proven(feature: str) -> None:
    """A link leads to an existing test function; an unproven feature names the command that would prove it."""
    cell = rows()[feature]
    assert links(cell) or "**not proven**" in cell, feature
    assert cell.count("](") == len(links(cell)), f"{feature}: a link names no test function"
    for function, file in links(cell):
        path = (DOCS.parent / file).resolve()
        assert path.is_file(), f"{feature}: {file}"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert function in functions, f"{feature}: {path.name} has no {function}"
        assert function.startswith("test_"), function
    for claim in cell.split("**not proven**")[1:]:
        assert re.match(r"[^`]*`[^`]{6,}`", claim), f"{feature}: no command proves it"


def test_table_of_features_is_complete() -> None:
    """A table without rows would pass the tests above."""
    assert len(rows()) >= 26
