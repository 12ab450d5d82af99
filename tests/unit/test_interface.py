"""The interface of every role: what the specification promises is what the files hold."""

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

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.parents[1] for path in (ROOT / "roles").glob("*/meta/main.yml"))
WISHES = yaml.safe_load((ROOT / "playbooks" / "vars" / "site_variables.yml").read_text())["__site_variables"]
every_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def load(path: Path) -> dict[str, Any]:
    """Read a YAML file; nothing where there is none."""
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def options(role: Path) -> dict[str, Any]:
    """Give the options of a role's main entry point."""
    return dict(load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"])


def with_no_site_variables(value: Any) -> Any:
    """Evaluate a default on a controller where nothing is requested."""
    trusted = trust_as_template(value) if isinstance(value, str) else value
    return Templar(loader=DataLoader(), variables={}).template(trusted)


@every_role
def test_defaults_are_what_the_specification_says(role: Path) -> None:
    """Every optional option has its default, the same in both files, and nothing else does."""
    spec, defaults = options(role), load(role / "defaults" / "main.yml")
    assert set(defaults) == {name for name, option in spec.items() if not option.get("required")}
    found = {name: with_no_site_variables(value) for name, value in defaults.items()}
    assert found == {name: option["default"] for name, option in spec.items() if name in defaults}


@every_role
def test_every_default_is_explained(role: Path) -> None:
    """Defaults are the menu: a comment line above each says what it decides."""
    lines = (role / "defaults" / "main.yml").read_text(encoding="utf-8").splitlines()
    for above, line in pairwise(lines):
        if re.match(r"^[a-z]", line):
            assert above.startswith("# "), f"{line} has no comment"


@every_role
def test_public_names_start_with_the_role(role: Path) -> None:
    """Nobody else's variable is taken by accident."""
    assert all(name.startswith(f"{role.name}_") for name in options(role))


@every_role
def test_private_names_are_private(role: Path) -> None:
    """What is registered, set or constant is the role's own, and looks it."""
    for path in (role / "vars").glob("*.yml"):
        assert all(name.startswith(f"__{role.name}_") for name in load(path)), path
    for path in [*(role / "tasks").glob("*.yml"), *(role / "handlers").glob("*.yml")]:
        for name in re.findall(r"^\s*register: (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert name.startswith(f"__{role.name}_"), f"{path}: {name}"


@every_role
def test_roles_do_not_read_each_others_variables(role: Path) -> None:
    """Settings come down from the site, truth comes up from the host; roles do not talk to each other."""
    others = [other.name for other in ROLES if other != role]
    names = {name for other in ROLES if other != role for name in options(other)}
    for path in role.rglob("*"):
        if path.suffix in (".yml", ".j2") and path.is_file():
            words = set(re.findall(r"\b\w+\b", path.read_text(encoding="utf-8")))
            assert not words & names, path
            assert not {word for word in words if word.startswith(tuple(f"__{other}_" for other in others))}, path


@every_role
def test_settings_are_read_in_defaults_alone(role: Path) -> None:
    """A role used alone is configured by its own options: settings are no more than their defaults."""
    for path in role.rglob("*.yml"):
        text = re.sub(r"(fail_msg|msg|description|variable):.*(\n\s{6,}.*)*", "", path.read_text(encoding="utf-8"))
        text = "\n".join(line for line in text.splitlines() if "'variable'" not in line and "variable:" not in line)
        if path.parent.name != "defaults":
            assert not re.search(r"\bgpulab_[a-z]+\b(?!\.core)", re.sub(r"gpulab_(cli|hub|server)\b", "", text)), path


@every_role
def test_role_stands_alone(role: Path) -> None:
    """No dependency pulls in another role, no task names a group of the inventory."""
    assert load(role / "meta" / "main.yml")["dependencies"] == []
    for path in (role / "tasks").glob("*.yml"):
        assert "groups[" not in path.read_text(encoding="utf-8"), path


@every_role
def test_table_of_contents_is_short(role: Path) -> None:
    """tasks/main.yml names the phases and does nothing itself; no task file grows without end."""
    main = (role / "tasks" / "main.yml").read_text(encoding="utf-8")
    assert len(main.splitlines()) < 40
    tasks = yaml.safe_load(main)
    # Included, not imported: skipped as one task, and what it registered for the whole site stays.
    assert [task.get("ansible.builtin.include_tasks") for task in tasks[:1]] == ["preflight.yml"]
    # Phases are imported; one that most hosts leave out may be included, so that it is skipped as one task, too.
    for task in tasks[1:]:
        assert "ansible.builtin.import_tasks" in task or ("ansible.builtin.include_tasks" in task and "when" in task)
    for path in (role / "tasks").glob("*.yml"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 80, path


def tasks_of(entries: list[dict[str, Any]] | dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the tasks of a file, those in blocks too."""
    for entry in entries or []:
        if isinstance(entry, dict):
            yield entry
            for part in ("block", "rescue", "always"):
                yield from tasks_of(entry.get(part, []))


def asks_for_failure(register: str, text: str) -> bool:
    """Tell whether a text asks a registered result whether its task failed."""
    result = rf"\b{register}\b(\.\w+|\[[^]]*\])*"
    tests = r"(failed|failure|succeeded|success|successful)"
    listed = rf"{result}[^}}\n]*(select|reject)(attr)?\(\s*['\"]{tests}\b"
    return bool(re.search(rf"{result}\s+is\s+(not\s+)?{tests}\b|{result}\.failed\b|{listed}", text))


@every_role
def test_nobody_asks_a_task_that_never_fails_whether_it_failed(role: Path) -> None:
    """`failed_when: false` makes `is failed` false for ever: what went wrong must be read from rc, msg or stderr."""
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
        assert [name for name in sorted(never) if asks_for_failure(name, text)] == [], path


@pytest.mark.parametrize(
    ("text", "asks"),
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
def test_question_for_failure_is_recognised(text: str, asks: bool) -> None:
    """The rule above cannot pass because it sees nothing."""
    assert asks_for_failure("__a_b", text) is asks


def test_every_setting_is_read_by_a_role() -> None:
    """Every listed variable is read by a role, and every variable that a role reads is listed."""
    text = "".join((role / "defaults" / "main.yml").read_text(encoding="utf-8") for role in ROLES)
    read = set(re.findall(r"\bgpulab_[a-z]+(?:_[a-z]+)*\b", text))
    unbuilt = {"gpulab_conda_channels"}
    site = {"gpulab_minimum", "gpulab_lock_hours", "gpulab_login"}
    assert read | unbuilt | site == set(WISHES)


def test_settings_and_roles_agree_on_types() -> None:
    """A setting that is a role's option has the same type and choices there."""
    for role in ROLES:
        defaults = load(role / "defaults" / "main.yml")
        for name, option in options(role).items():
            setting = re.fullmatch(r"\{\{ (gpulab_\w+) \| default\(.*\) \}\}", str(defaults.get(name, "")))
            if setting:
                listed = WISHES[setting[1]]
                assert (option["type"], option.get("choices")) == (listed["type"], listed.get("choices")), name


def test_site_applies_every_role_once_with_its_tag() -> None:
    """The order lives in one place, and a tag runs a role alone."""
    plays = yaml.safe_load((ROOT / "playbooks" / "site.yml").read_text(encoding="utf-8"))
    listed = [(task["ansible.builtin.import_role"], task["tags"]) for task in plays[-1]["tasks"]]
    whole = [entry["name"] for entry, _tag in listed if "tasks_from" not in entry]
    assert sorted(whole) == [f"gpulab.core.{role.name}" for role in ROLES]
    assert all(entry["name"] == f"gpulab.core.{tag}" for entry, tag in listed)


def test_every_preflight_is_asked_before_the_first_change() -> None:
    """A role that has something to reject is asked about all hosts before any host is touched."""
    text = (ROOT / "playbooks" / "preflight.yml").read_text(encoding="utf-8")
    having = [role.name for role in ROLES if (role / "tasks" / "preflight.yml").is_file()]
    asked = next(task["loop"] for play in yaml.safe_load(text) for task in play["tasks"] if "loop" in task)
    assert sorted(asked) == sorted(having)
