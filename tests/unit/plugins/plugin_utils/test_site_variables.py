# SPDX-License-Identifier: GPL-3.0-or-later
"""Site variables: which names exist, and which values are rejected before any host is contacted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.gpulab.core.plugins.action.check_variables import type_problems
from ansible_collections.gpulab.core.plugins.plugin_utils import site_variables
from tests.support.paths import ROOT
from tests.support.processes import run as run_program

FILE = yaml.safe_load((ROOT / "playbooks/vars/site_variables.yml").read_text())
SPEC = {**site_variables.site_variables(), **FILE["site_variables"]}
RESERVED = FILE["reserved_variables"]
RENAMED = yaml.safe_load((ROOT / "playbooks/vars/renamed_variables.yml").read_text())["renamed_variables"]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKz82I3VnE8MeuUGAoOhFBakxbHz+0vgUHCdiTE1LjEP ada@laptop"
HASH = "$6$salt$" + "x" * 86


def test_variables_with_an_ignored_file_are_named(tmp_path: Path) -> None:
    """Of files with one name Ansible reads the first; names with dots, hidden files and other endings are no reason."""
    directory = tmp_path / "host_vars"
    (directory / "gpu1.lab.example").mkdir(parents=True)
    for name in ("gpu2.yml", "gpu2.json", "gpu1.lab.yml", ".gpu2", "README.md", "gpu2.yml~"):
        (directory / name).touch()
    kept = f"{directory}/gpu2.yml"
    assert site_variables.ignored_files([tmp_path]) == [
        f"Ansible ignores {directory}/gpu2.json, because {kept} exists. Join it with {kept}."
    ]
    (directory / "gpu1.lab.example.yaml").touch()
    assert f"Move it into {directory}/gpu1.lab.example/" in site_variables.ignored_files([tmp_path])[0]


def test_variable_of_a_role_has_the_specification_of_the_option() -> None:
    """Type, choices and nested options come from the role alone."""
    options = site_variables.role_options()
    assert SPEC["gpulab_users"]["options"] == options["users"]["users_accounts"]["options"]
    assert SPEC["gpulab_reboot"]["choices"] == ["never", "if_needed", "always"]
    assert SPEC["gpulab_reboot"]["option"] == "nvidia_driver_reboot"


def test_default_with_further_filters_is_a_site_variable(tmp_path: Path) -> None:
    """Conversions after the default change nothing about its origin; parts of a variable are not the variable."""
    role = tmp_path / "demo"
    for name in ("defaults", "meta"):
        (role / name).mkdir(parents=True)
    (role / "meta/argument_specs.yml").write_text(
        json.dumps({"argument_specs": {"main": {"options": {"demo_a": {"type": "str"}, "demo_b": {"type": "str"}}}}})
    )
    values = {"demo_a": "{{ gpulab_a | default('x') | string | lower }}", "demo_b": "{{ (gpulab_b | default({})).c }}"}
    (role / "defaults/main.yml").write_text(json.dumps(values))
    assert site_variables.site_variables(tmp_path) == {"gpulab_a": {"type": "str", "option": "demo_a"}}


def test_known_names_and_variables_of_others_pass() -> None:
    """Only names with the prefix are checked."""
    assert site_variables.unknown_names(["gpulab_users", "ansible_host", "users_of_another_project"], SPEC) == []


def test_misspelt_variable_is_rejected_with_the_most_similar_one() -> None:
    """The message names both."""
    assert site_variables.unknown_names(["gpulab_user"], SPEC) == [
        "gpulab_user is not a variable of gpulab. Did you mean gpulab_users?"
    ]


def test_variable_like_no_other_points_to_the_list() -> None:
    """Where no name is similar, the page of all variables is named."""
    assert "docs/reference/variables.md" in site_variables.unknown_names(["gpulab_xyzzy"], SPEC)[0]


def test_near_miss_of_a_role_option_is_rejected() -> None:
    """Ansible would ignore an option that differs by a letter."""
    options = {"jupyterhub": ["jupyterhub_port", "jupyterhub_address"]}
    problems = site_variables.misspelt_options(["jupyterhub_prot", "jupyterhub_theme_of_ours"], options)
    assert problems == ["jupyterhub_prot is unknown. Did you mean jupyterhub_port (role jupyterhub)?"]


def test_renamed_variable_and_key_are_rejected_with_their_new_names() -> None:
    """A star stands for any key, and the message names the key."""
    values = {"users_session_walls": True, "gpulab_groups": {"class": {"shared_folder": True}, "staff": {}, "x": None}}
    problems = site_variables.renamed_names(values, RENAMED)
    assert [problem.partition(" (")[0] for problem in problems] == [
        "users_session_walls was renamed: write users_session_isolation_enabled",
        "gpulab_groups.class.shared_folder was renamed: write gpulab_groups.class.shared_directory",
    ]
    assert site_variables.renamed_names({"gpulab_groups": {"class": {"shared_directory": True}}}, RENAMED) == []


OLD_INVENTORY = """# The lab. users_session_walls is explained below.
gpu_hosts:
  vars:
    users_session_walls: false
    gpulab_groups:
      class-2026: {shared_folder: true}
      staff:
        shared_folder: true   # a shared_folder for the staff
  hosts:
    gpu1:
"""


def test_migration_shows_and_makes_the_changes_of_an_inventory(tmp_path: Path) -> None:
    """Check mode changes nothing; comments and the form of the file stay; the second run changes nothing."""
    (tmp_path / "hosts.yml").write_text(OLD_INVENTORY)
    argv = ["ansible-playbook", "--inventory", str(tmp_path), str(ROOT / "playbooks/migrate.yml"), "--diff"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}

    def run(*options: str) -> str:
        done = run_program([*argv, *options], cwd=ROOT, env=environment, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    shown = run("--check")
    assert "+    users_session_isolation_enabled: false" in shown
    assert (tmp_path / "hosts.yml").read_text() == OLD_INVENTORY
    run()
    text = (tmp_path / "hosts.yml").read_text()
    assert text == OLD_INVENTORY.replace("users_session_walls", "users_session_isolation_enabled").replace(
        "shared_folder:", "shared_directory:"
    )
    assert "changed=0" in run()


def test_reserved_variable_is_rejected_unless_it_asks_for_nothing() -> None:
    """The message names the variable, what it needs, and a value that is accepted."""
    values = {"gpulab_conda_channels": ["defaults"], "gpulab_conda": True, "gpulab_gpu": "auto"}
    problems = site_variables.reserved_problems(values, RESERVED)
    assert sorted(problem.partition(":")[0] for problem in problems) == ["gpulab_conda", "gpulab_conda_channels"]
    assert "needs the role anaconda, which is not implemented" in problems[0]
    assert "or set it to [] or ['conda-forge']." in problems[1]
    assert site_variables.reserved_problems({"gpulab_conda": False, "gpulab_conda_channels": []}, RESERVED) == []
    assert site_variables.reserved_problems({"gpulab_login": {"kind": "oidc"}}, RESERVED)
    assert site_variables.reserved_problems({"gpulab_login": {"kind": "pam"}}, RESERVED) == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("gpulab_gpu", "exclusiv", "required"),
        ("gpulab_users", "ada", "gpulab_users"),
        ("gpulab_users", [{"nane": "ada"}], "nane"),
        ("gpulab_tls", {"mode": "on"}, "generated"),
        ("gpulab_hub_port", "https", "gpulab_hub_port"),
        ("gpulab_sources", {"pip": {"index": "x"}}, "index_url"),
    ],
)
def test_wrong_types_and_keys_are_rejected(name: str, value: Any, words: str) -> None:
    """Ansible's validator names the variable, the key or the choices."""
    found = type_problems(SPEC, {name: value})
    assert found
    assert any(words in problem for problem in found), found


def test_type_errors_do_not_repeat_a_hash() -> None:
    """The validator quotes unknown keys, never secrets."""
    found = type_problems(SPEC, {"gpulab_users": [{"name": "ada", "password_hash": HASH, "nane": 1}]})
    assert found
    assert not any(HASH in problem for problem in found)


@pytest.mark.parametrize(
    "name", sorted(name for name, option in SPEC.items() if option.get("type") in ("bool", "int", "float"))
)
def test_numbers_and_truth_values_may_be_text(name: str) -> None:
    """As an INI inventory gives them."""
    for text in ("yes", "False", "true") if SPEC[name]["type"] == "bool" else ("1", "24"):
        assert type_problems(SPEC, {name: text}) == []
        assert site_variables.shape_problems(name, SPEC[name], text) == []


@pytest.mark.parametrize("text", ['[{"name": "ada", "admin": true}]', '{"a": null}', " [x]"])
def test_list_that_an_ini_inventory_could_not_read_is_explained(text: str) -> None:
    """It reads Python's notation and leaves the rest as text."""
    (problem,) = site_variables.shape_problems("gpulab_users", SPEC["gpulab_users"], text)
    assert "gpulab_users is text, not a list. An INI inventory reads Python's notation" in problem
    assert site_variables.shape_problems("gpulab_tls", SPEC["gpulab_tls"], "generated")[0].endswith("certificate, key.")
