# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of an inventory, as Ansible reads them: what stops a run on the controller, and with which message."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.processes import run

ENVIRONMENT = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "2000"}


def validated(inventory: Path, *options: str, playbook: str = "validate.yml") -> tuple[int, str]:
    """Run a playbook up to its checks on the controller; return its status and its output in one line."""
    argv = ["ansible-playbook", "--inventory", str(inventory), str(ROOT / "playbooks" / playbook), *options]
    done = run(argv, cwd=ROOT, env=ENVIRONMENT, timeout=120)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Return a directory with one host that does not exist, and no variables."""
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "hosts.yml").write_text("gpu_hosts: {hosts: {gpu1: {ansible_host: 192.0.2.1}}}\n")
    return tmp_path


def write(inventory: Path, name: str = "gpu_hosts.yml", **variables: Any) -> None:
    """Write variables into a file of group_vars."""
    path = inventory / "group_vars" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(variables))


@pytest.mark.parametrize("playbook", ["validate.yml", "site.yml", "users.yml"])
def test_undefined_users_stop_every_playbook_that_would_close_accounts(inventory: Path, playbook: str) -> None:
    """A typo in the name of the file is the usual cause."""
    write(inventory, "gpu_host.yml", gpulab_users=[{"name": "ada"}])
    code, output = validated(inventory, playbook=playbook)
    assert code != 0
    assert f"gpulab_users is not set. Write it into {inventory}/group_vars, or write `gpulab_users: []`" in output
    assert "which closes every account" in output


@pytest.mark.parametrize("value", [{"gpulab_users": []}, {"users_accounts": [{"name": "ada"}]}])
def test_empty_list_and_the_option_of_the_role_are_settings(inventory: Path, value: dict[str, Any]) -> None:
    """An empty list means nobody."""
    write(inventory, **value)
    assert validated(inventory)[0] == 0


def test_variable_without_a_value_is_not_set(inventory: Path) -> None:
    """All users below it may be comments."""
    (inventory / "group_vars/gpu_hosts.yml").write_text("gpulab_users:\n#  - name: ada\n")
    assert "gpulab_users is not set" in validated(inventory)[1]


def test_file_next_to_a_directory_of_its_name_is_reported(inventory: Path) -> None:
    """Ansible reads the directory alone, without a word: hashes in a vault are put there."""
    write(inventory, gpulab_users=[{"name": "ada"}])
    write(inventory, "gpu_hosts/vault.yml", vault_hash="x")
    code, output = validated(inventory)
    assert code != 0
    directory = f"{inventory}/group_vars/gpu_hosts"
    assert f"Ansible ignores {directory}.yml, because {directory} exists. Move it into {directory}/." in output
    assert "gpulab_users is not set" in output
