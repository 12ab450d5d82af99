# SPDX-License-Identifier: GPL-3.0-or-later
"""A project that has no checkout installs the artefact and runs two of its roles."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import testinfra

from tests.integration.artefact.artefact import HOST, Project

RECAP = re.compile(rf"^{HOST}\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


def recap(output: str) -> dict[str, int]:
    """Return the numbers of the recap."""
    match = RECAP.search(output)
    assert match, output[-2000:]
    return dict(zip(("ok", "changed", "unreachable", "failed"), map(int, match.groups()), strict=True))


@pytest.fixture(scope="module")
def outputs(project: Project) -> list[str]:
    """Run the playbook twice."""
    return [project.converge(), project.converge()]


@pytest.fixture(scope="module")
def host(project: Project, outputs: list[str]) -> Any:
    """Return the host after both runs."""
    return testinfra.get_host(f"ansible://{HOST}?ansible_inventory={project.directory / 'hosts.yml'}")


def test_two_roles_run(outputs: list[str]) -> None:
    """The first run changes the host, the second one finds nothing to do, none fails."""
    first, second = map(recap, outputs)
    assert (first["failed"], first["unreachable"]) == (0, 0)
    assert first["changed"] > 0
    assert (second["failed"], second["unreachable"], second["changed"]) == (0, 0, 0)


def test_users_of_the_playbook_exist(host: Any) -> None:
    """The role users made the groups and their members."""
    assert set(host.group("mathematics").members) == {"sofia", "carl"}
    assert host.group("mathematics-admins").members == ["sofia"]


def test_departments_of_another_playbook_stay(host: Any) -> None:
    """Another project does not undo what the scenario `reuse` made."""
    assert set(host.group("chemistry").members) == {"ada", "marie"}
    assert set(host.group("physics").members) == {"ada", "emmy"}


def test_sources_are_written_where_the_project_wants(host: Any) -> None:
    """The role sources wrote the file that the project chose."""
    assert "PIP_TRUSTED_HOST=wheels.campus.example" in host.file("/etc/campus/sources.env").content_string


def test_only_the_installed_collection_is_found(project: Project) -> None:
    """Ansible finds gpulab.core once, in the project's directory."""
    listed = json.loads(project.ansible("ansible-galaxy", "collection", "list", "--format", "json"))
    where = [path for path, collections in listed.items() if "gpulab.core" in collections]
    assert where == [str(project.collections / "ansible_collections")]


def test_documentation_comes_from_the_artefact(project: Project) -> None:
    """ansible-doc reads the installed files."""
    module = json.loads(project.ansible("ansible-doc", "--json", "gpulab.core.gpu_info"))
    assert Path(module["gpulab.core.gpu_info"]["doc"]["filename"]).is_relative_to(project.collections)
    role = json.loads(project.ansible("ansible-doc", "--type", "role", "--json", "gpulab.core.users"))
    assert Path(role["gpulab.core.users"]["path"]).is_relative_to(project.collections)


def test_site_playbook_can_be_named(project: Project) -> None:
    """The whole site is installed as well: a playbook of the collection, with everything that it reads."""
    shown = project.ansible("ansible-playbook", "--inventory", "localhost,", "--list-tasks", "gpulab.core.site")
    assert "gpulab.core.jupyterhub : " in shown


def test_nothing_is_read_from_the_checkout(project: Project, outputs: list[str]) -> None:
    """Every task of a role, and every module of ours that was sent to the host, is a file of the artefact."""
    tasks = re.findall(r"^task path: (\S+?):\d+$", outputs[0], re.MULTILINE)
    modules = [path for path in re.findall(r"Using module file (\S+)", outputs[0]) if "/gpulab/core/" in path]
    assert len(tasks) > 10
    assert modules
    assert [path for path in (*tasks, *modules) if not Path(path).is_relative_to(project.directory)] == []
