# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles applied one by one, and one of them twice, by a playbook that knows no settings."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.support.paths import ROOT

GROUPS = {
    "chemistry": {"ada", "marie"},
    "chemistry-admins": {"ada"},
    "physics": {"ada", "emmy"},
    "physics-admins": {"emmy"},
    "spectroscopy": {"marie"},
}
"""Who converge.yml wants in each group."""


@pytest.mark.parametrize("group", GROUPS)
def test_group_holds_exactly_its_users(host: Any, group: str) -> None:
    """The second application of the role adds its own groups and leaves those of the first as they are."""
    assert set(host.group(group).members) == GROUPS[group]


@pytest.mark.parametrize("name", ["ada", "emmy", "marie"])
def test_nobody_was_locked_out(host: Any, name: str) -> None:
    """Neither application revokes a user whom the other one wants, and homes are private after both."""
    user = host.user(name)
    assert user.exists
    assert user.expiration_date is None
    assert host.file(user.home).mode == 0o700


@pytest.mark.parametrize("group", ["gpulab-users", "gpulab-admins"])
def test_default_groups_are_not_made(host: Any, group: str) -> None:
    """The groups are those that the playbook names, not the ones of a lab."""
    assert not host.group(group).exists


def test_command_answers(host: Any) -> None:
    """The command of the role tools works where no other role of a lab ever ran."""
    found = json.loads(host.check_output("gpulab info --json"))
    assert found["cores"] >= 1
    assert found["interpreters"] == {}


def test_environment_shares_its_files_with_the_cache(host: Any) -> None:
    """Where both are on one file system, a wheel's files are on the disk once. The release has its bytecode, too."""
    release = "/opt/gpulab/tools/current"
    assert int(host.check_output(f"stat --format=%h {release}/bin/uv")) > 1
    assert host.check_output(f"find {release}/lib -name '*.pyc' -print -quit")


def test_sources_are_those_of_the_playbook(host: Any) -> None:
    """What the playbook asked for is in the file, and what it did not ask for is not."""
    text = host.file("/etc/gpulab/sources.env").content_string
    settings = dict(line.partition("=")[::2] for line in text.splitlines() if not line.startswith("#"))
    assert settings["PIP_TRUSTED_HOST"].strip("'").split()[-1] == "wheels.campus.example"
    assert "NPM_CONFIG_REGISTRY" not in settings


def test_host_has_no_settings() -> None:
    """The inventory gives this host nothing of the demo lab: what works here works without settings."""
    argv = ["ansible-inventory", "--inventory", "molecule/inventory", "--host", "reuse"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=True)
    variables = json.loads(done.stdout)
    assert variables["local_host_suite"] == "bookworm"
    assert [name for name in variables if name.startswith("gpulab_")] == []
