# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of the roles: what their specifications promise is what their files hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.gpulab.core.plugins.plugin_utils import site_variables
from tests.support.paths import ROOT

PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
ROLES = sorted(path.parents[1] for path in (ROOT / "roles").glob("*/meta/main.yml"))
OWN = yaml.safe_load((ROOT / "playbooks/vars/site_variables.yml").read_text(encoding="utf-8"))
FREE_KEYS = {"users_groups", "users_sshd_settings"}
"""Dictionaries whose keys are names that the site chooses, or settings of another program."""
TABLE_OF_CONTENTS = {"ansible.builtin.import_tasks", "ansible.builtin.include_tasks"}
every_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
every_playbook = pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.stem)


def load(path: Path) -> Any:
    """Return the content of a YAML file, or an empty dictionary where there is none."""
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def entry_points(role: Path) -> dict[str, Any]:
    """Return the entry points of a role with their specifications."""
    return dict(load(role / "meta/argument_specs.yml")["argument_specs"])


def options(role: Path) -> dict[str, Any]:
    """Return the options of a role."""
    return dict(entry_points(role)["main"]["options"])


def files(role: Path) -> list[Path]:
    """Return the YAML files and templates of a role."""
    return [path for path in role.rglob("*") if path.is_file() and path.suffix in (".yml", ".j2")]


def tasks(role: Path) -> list[Path]:
    """Return the task files and handlers of a role."""
    return [*(role / "tasks").glob("*.yml"), *(role / "handlers").glob("*.yml")]


def evaluated(value: Any) -> Any:
    """Return a default as it is on a controller without site variables."""
    trusted = trust_as_template(value) if isinstance(value, str) else value
    return Templar(loader=DataLoader(), variables={}).template(trusted)


@every_role
def test_defaults_are_those_of_the_specification(role: Path) -> None:
    """Every optional option has its default, the same in both files, and nothing else has one."""
    spec, defaults = options(role), load(role / "defaults/main.yml")
    assert set(defaults) == {name for name, option in spec.items() if not option.get("required")}
    actual = {name: evaluated(value) for name, value in defaults.items()}
    assert actual == {name: option["default"] for name, option in spec.items() if name in defaults}


@every_role
def test_every_default_is_explained(role: Path) -> None:
    """A comment line above each default says what it decides."""
    lines = (role / "defaults/main.yml").read_text(encoding="utf-8").splitlines()
    for above, line in pairwise(lines):
        if re.match(r"^[a-z]", line):
            assert above.startswith("# "), f"{line} has no comment"


@every_role
def test_entry_points_have_tasks_and_the_same_options(role: Path) -> None:
    """A wrong type fails whichever entry point is called."""
    assert {"main", "preflight", "apply"} <= set(entry_points(role))
    for name, entry_point in entry_points(role).items():
        assert (role / "tasks" / f"{name}.yml").is_file(), name
        assert entry_point["options"] == options(role), name
        assert entry_point["short_description"], name


@every_role
def test_every_dictionary_has_its_keys_in_the_specification(role: Path) -> None:
    """Ansible checks types and names of nested keys only where they are listed."""

    def bare(inner: dict[str, Any], path: str) -> Iterator[str]:
        for name, option in inner.items():
            if "dict" in (option["type"], option.get("elements")) and name not in FREE_KEYS:
                if not option.get("options"):
                    yield f"{path}{name}"
                yield from bare(option.get("options", {}), f"{path}{name}.")

    assert list(bare(options(role), "")) == []


@every_role
def test_public_names_start_with_the_role(role: Path) -> None:
    """No variable of another project is taken by accident."""
    assert all(name.startswith(f"{role.name}_") for name in options(role))


@every_role
def test_private_names_are_private(role: Path) -> None:
    """Registered variables, facts, loop variables and constants start with the role's name and two underscores."""
    private = f"__{role.name}_"
    for path in (role / "vars").glob("*.yml"):
        assert all(name.startswith(private) for name in load(path)), path
    for path in tasks(role):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"^\s*(?:register|loop_var): (\S+)", text, re.MULTILINE):
            assert name.startswith(private), f"{path}: {name}"
        for task in tasks_of(load(path)):
            for name in {**task.get("vars", {}), **task.get("ansible.builtin.set_fact", {})}:
                assert name.startswith((private, "ansible_")), f"{path}: {name}"


@every_role
def test_roles_do_not_read_variables_of_other_roles(role: Path) -> None:
    """Neither public nor private ones: a role reads its own options and the host."""
    others = [other for other in ROLES if other != role]
    public = {name for other in others for name in options(other)}
    private = tuple(f"__{other.name}_" for other in others)
    for path in files(role):
        words = set(re.findall(r"\b\w+\b", path.read_text(encoding="utf-8")))
        assert not words & public, path
        assert not {word for word in words if word.startswith(private)}, path


@every_playbook
def test_playbooks_pass_no_variables_between_roles(playbook: Path) -> None:
    """Private variables stay within their role, and a playbook has none for roles."""
    private = tuple(f"__{role.name}_" for role in ROLES)
    words = set(re.findall(r"\b\w+\b", playbook.read_text(encoding="utf-8")))
    assert not {word for word in words if word.startswith((*private, "__site_"))}


@every_role
def test_roles_have_no_variables_of_the_site(role: Path) -> None:
    """Site variables are only read in defaults/: a role that is used alone is configured by its own options."""
    for path in files(role):
        text = path.read_text(encoding="utf-8")
        assert "__site_" not in text, path
        if path.parent.name not in ("defaults", "meta") and path.suffix == ".yml":
            text = re.sub(r"(fail_msg|msg|description|reason|variable):.*(\n\s{6,}.*)*", "", text)
            text = "\n".join(line for line in text.splitlines() if "variable" not in line)
            read = re.findall(
                r"\bgpulab_[a-z_]+\b(?!\.core)", re.sub(r"gpulab_(cli|gpud|hub|server|common)\b", "", text)
            )
            assert read == [], path


@every_role
def test_role_stands_alone(role: Path) -> None:
    """No dependency applies another role, no task names a group of the inventory."""
    assert load(role / "meta/main.yml")["dependencies"] == []
    for path in tasks(role):
        assert "groups[" not in path.read_text(encoding="utf-8"), path


@every_role
def test_main_is_preflight_and_apply(role: Path) -> None:
    """A role that is used alone checks before it changes anything."""
    imports = [task.get("ansible.builtin.import_tasks") for task in load(role / "tasks/main.yml")]
    assert imports == ["preflight.yml", "apply.yml"]


@every_role
def test_apply_is_a_table_of_contents(role: Path) -> None:
    """It names the phases and does nothing itself, but where it is the only phase; no task file is long."""
    apply = load(role / "tasks/apply.yml")
    imported = [task for task in apply if TABLE_OF_CONTENTS & set(task)]
    assert len(apply) <= 2 or len(imported) >= len(apply) - 2
    for path in tasks(role):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 80, path


@every_role
def test_tasks_of_a_phase_start_with_its_name(role: Path) -> None:
    """`Phase | Imperative sentence`: the output says in which file a task is."""
    for path in (role / "tasks").glob("*.yml"):
        if path.name not in ("main.yml", "apply.yml"):
            for task in tasks_of(load(path)):
                assert re.match(r"^[A-Z][\w ]+ \| [A-Z]", task.get("name", "")), f"{path}: {task.get('name')}"


@every_role
def test_tasks_hold_no_programs(role: Path) -> None:
    """No Python or shell script in a YAML string."""
    for path in files(role):
        if path.suffix == ".yml":
            text = path.read_text(encoding="utf-8")
            assert not re.search(
                r"python3?[^\n]*\s-c\b|\bsh, -c\b|^\s*import \w+|ansible.builtin.shell", text, re.MULTILINE
            ), path


@every_role
def test_truth_values_may_be_text(role: Path) -> None:
    """An INI inventory, a template and -e give text, of which every one is true for Jinja: `x | bool` reads it."""
    truths = {name for name, option in site_variables.role_options()[role.name].items() if option.get("type") == "bool"}
    names = "|".join(sorted(truths)) or "-"
    tested = rf"(\b(if|and|or|not)|when:|that:) +\(?({names})\b(?!\)? \| bool)|\b({names}) (and|or|else|\| ternary|%}})"
    for path in files(role):
        if path.parent.name in ("tasks", "templates", "vars", "handlers"):
            assert not re.search(tested, path.read_text(encoding="utf-8")), path


def tasks_of(entries: list[dict[str, Any]] | dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the tasks of a file, those of blocks included."""
    for entry in entries or []:
        if isinstance(entry, dict):
            yield entry
            for part in ("block", "rescue", "always"):
                yield from tasks_of(entry.get(part, []))


def reads_failure(register: str, text: str) -> bool:
    """Return whether a text reads from a registered result whether its task failed."""
    result = rf"\b{register}\b(\.\w+|\[[^]]*\])*"
    tests = r"(failed|failure|succeeded|success|successful)"
    listed = rf"{result}[^}}\n]*(select|reject)(attr)?\(\s*['\"]{tests}\b"
    return bool(re.search(rf"{result}\s+is\s+(not\s+)?{tests}\b|{result}\.failed\b|{listed}", text))


@every_role
def test_result_of_a_task_that_never_fails_is_not_read_as_failure(role: Path) -> None:
    """`failed_when: false` makes `is failed` false for ever: read rc, msg or stderr."""
    files = [path for path in role.rglob("*") if path.is_file() and path.suffix in (".yml", ".j2")]
    never = {
        task["register"]
        for path in files
        if path.parent.name in ("tasks", "handlers")
        for task in tasks_of(load(path))
        if task.get("failed_when") is False and "register" in task
    }
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert [name for name in sorted(never) if reads_failure(name, text)] == [], path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("when: __a_b is failed", True),
        ("when: __a_b is not succeeded and x", True),
        ('x: "{{ (__a_b.results[0] is failed) | ternary(1, 2) }}"', True),
        ("loop: \"{{ __a_b.results | selectattr('failed') }}\"", True),
        ("loop: \"{{ __a_b.results | select('failed') }}\"", True),
        ("when: __a_b.failed", True),
        ("when: __a_b.rc != 0", False),
        ("when: __a_b_c is failed", False),
        ("failed_when: false\nregister: __a_b", False),
    ],
)
def test_reading_of_a_failure_is_recognised(text: str, expected: bool) -> None:
    """The test above finds what it searches for."""
    assert reads_failure("__a_b", text) is expected


def test_tasks_that_tests_interrupt_exist() -> None:
    """Those tests run at night only; a renamed task would end them."""
    text = (ROOT / "tests/integration/faults/test_interrupted.py").read_text(encoding="utf-8")
    interrupted = re.findall(r'"((?:Install|Configure) \| [^"]+)"', text)
    assert interrupted
    names = [task.get("name", "") for role in ROLES for path in tasks(role) for task in tasks_of(load(path) or [])]
    assert [name for name in interrupted if not any(known.startswith(name) for known in names)] == []


def test_every_site_variable_is_read_by_a_role() -> None:
    """A variable that no role reads, and one that a role reads and that is not listed, would be ignored silently."""
    text = "".join((role / "defaults/main.yml").read_text(encoding="utf-8") for role in ROLES)
    read = set(re.findall(r"\bgpulab_[a-z]+(?:_[a-z]+)*\b", text))
    playbooks = {"gpulab_minimum", "gpulab_lock_hours"}
    assert read | playbooks == {*site_variables.site_variables(), *OWN["site_variables"]}
    assert not read & set(OWN["reserved_variables"])


def test_roles_agree_on_a_site_variable() -> None:
    """Two options with the same site variable have the same type, choices, keys and default."""
    listed = site_variables.site_variables()
    for role in ROLES:
        defaults = load(role / "defaults/main.yml")
        for name, option in options(role).items():
            match = site_variables.DEFAULT.match(str(defaults.get(name, "")).strip())
            if match:
                for key in ("type", "choices", "options", "default"):
                    assert option.get(key) == listed[match[1]].get(key), f"{name}: {key}"


def called(playbook: Path) -> list[tuple[str, str]]:
    """Return the roles that a playbook calls, each with the entry point."""
    calls = []
    for play in load(playbook):
        sections = [*play.get("pre_tasks", []), *play.get("tasks", []), *play.get("post_tasks", [])]
        for task in tasks_of(sections):
            for action in ("ansible.builtin.import_role", "ansible.builtin.include_role"):
                if action in task:
                    names = task.get("loop", [task[action]["name"].removeprefix("gpulab.core.")])
                    calls += [(name, task[action].get("tasks_from", "main")) for name in names]
    return calls


@every_playbook
def test_entry_points_that_playbooks_call_are_declared(playbook: Path) -> None:
    """An entry point without a specification would not be validated."""
    for role, entry_point in called(playbook):
        assert entry_point in entry_points(ROOT / "roles" / role), f"{role}: {entry_point}"


def test_site_checks_all_roles_before_it_applies_them_in_order() -> None:
    """Every role has its preflight before the first change, is applied once, and has a tag of its own."""
    names = sorted(role.name for role in ROLES)
    checked = [role for role, entry_point in called(ROOT / "playbooks/preflight.yml") if entry_point == "preflight"]
    calls = called(ROOT / "playbooks/site.yml")
    # A role whose first part runs during the downloads has an entry point for the rest.
    applied = [role for role, entry_point in calls if entry_point in ("apply", "configure")]
    assert {role for role, entry_point in calls if entry_point == "configure"} == {
        role for role, entry_point in calls if entry_point == "install"
    }
    assert sorted(checked) == sorted(applied) == names
    assert checked == applied
    plays = [play for play in load(ROOT / "playbooks/site.yml") if "tasks" in play]
    for task in tasks_of([entry for play in plays for entry in play["tasks"]]):
        if "ansible.builtin.import_role" in task:
            assert task["ansible.builtin.import_role"]["name"] == f"gpulab.core.{task['tags']}"
