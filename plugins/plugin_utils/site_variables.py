# SPDX-License-Identifier: GPL-3.0-or-later
"""Site variables and role options: which names exist, and what is wrong with the values that a site gives them.

Problems come back as sentences. Reads files of the roles and of the inventory on the controller, changes nothing.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

KINDS = {"int": "a number", "float": "a number", "bool": "true or false"}
"""Words for types of options."""
NUMBERS = ("int", "float")
LARGEST = 10**8
"""Largest number of any option: days and seconds beyond it overflow the times of the programs that read them."""
ENVIRONMENT = re.compile(r"[a-z0-9][a-z0-9._-]{0,30}\Z")
"""Names of environments, which become directories and kernels."""
TEXT_LISTS = ("groups", "ssh_keys")
"""Keys of users whose list may be one text."""
ROLES = Path(__file__).resolve().parents[2] / "roles"
PREFIX = "gpulab_"
VARIABLE_FILES = ("", ".yml", ".yaml", ".json")
"""Endings of files in group_vars, in the order in which Ansible tries them: it reads the first one and no other."""
DEFAULT = re.compile(r"^\{\{ (gpulab_\w+) \| default\(.*\)(?: \| \w+)* \}\}$")
"""Default of a role option that is a site variable, as roles/*/defaults/main.yml writes it."""


@cache
def role_options(roles: Path = ROLES) -> dict[str, dict[str, Any]]:
    """Return the options of every role, by role and option name, as its argument specification describes them."""
    options: dict[str, dict[str, Any]] = {}
    for path in sorted(roles.glob("*/meta/argument_specs.yml")):
        entry_points = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values()
        options[path.parents[1].name] = {
            name: option for entry in entry_points for name, option in (entry.get("options") or {}).items()
        }
    return options


def site_variables(roles: Path = ROLES) -> dict[str, dict[str, Any]]:
    """Return the specification of every site variable that is the default of a role option.

    The specification is that of the option, with the key `option` for its name. Where several roles use one variable,
    the first role by name counts; a unit test compares their types.
    """
    variables: dict[str, dict[str, Any]] = {}
    for role, options in role_options(roles).items():
        for option, value in _defaults(roles / role).items():
            match = DEFAULT.match(str(value).strip())
            if match and option in options:
                variables.setdefault(match[1], {**options[option], "option": option})
    return variables


def unknown_names(names: Iterable[str], allowed: Iterable[str]) -> list[str]:
    """Report names with the prefix of site variables that do not exist, each with the most similar one that does."""
    known = sorted(allowed)
    problems = []
    for name in sorted(set(names)):
        if name.startswith(PREFIX) and name not in known:
            # Compared without the prefix, which would make all names similar.
            words = [variable.removeprefix(PREFIX) for variable in known]
            similar = difflib.get_close_matches(name.removeprefix(PREFIX), words, n=1, cutoff=0.6)
            hint = (
                f"Did you mean {PREFIX}{similar[0]}?" if similar else "docs/reference/variables.md lists all variables."
            )
            problems.append(f"{name} is not a variable of gpulab. {hint}")
    return problems


def missing_names(
    variables: Mapping[str, Any], required: Mapping[str, Mapping[str, str]], options: Mapping[str, str], inventory: str
) -> list[str]:
    """Report required variables that are not set or have no value.

    `required` holds by name the `empty` value that is allowed, and its `effect`. `options` holds by name the role
    option that may be set instead. `inventory` is the directory of the inventory, for the message.
    """
    place = f"{inventory}/group_vars" if inventory else "group_vars next to the inventory"
    return [
        f"{name} is not set. Write it into {place}, or write `{name}: {entry['empty']}`, which {entry['effect']}. "
        "Ansible does not read group_vars next to site.yml, a file that is not named like a group, or X.yml next to a "
        "directory X."
        for name, entry in required.items()
        if variables.get(name) is None and variables.get(options.get(name, name)) is None
    ]


def ignored_files(directories: Iterable[Path]) -> list[str]:
    """Report files with variables that Ansible ignores, because a directory or file of the same name comes first."""
    problems = []
    for directory in directories:
        for kind in ("group_vars", "host_vars"):
            entries = [entry for entry in sorted((directory / kind).glob("*")) if not entry.name.startswith(".")]
            stems = {
                entry.name if entry.is_dir() or entry.suffix not in VARIABLE_FILES else entry.stem for entry in entries
            }
            for stem in sorted(stems):
                files = [path for ending in VARIABLE_FILES if (path := directory / kind / f"{stem}{ending}").exists()]
                fix = f"Move it into {files[0]}/" if files[0].is_dir() else f"Join it with {files[0]}"
                problems += [f"Ansible ignores {path}, because {files[0]} exists. {fix}." for path in files[1:]]
    return problems


def misspelt_options(names: Iterable[str], options: Mapping[str, Iterable[str]]) -> list[str]:
    """Report names that differ by a letter or two from a role option; other variables with a role's prefix pass.

    `options` holds the option names by role.
    """
    problems = []
    known = {option for names_of_role in options.values() for option in names_of_role}
    for name in sorted(set(names) - known):
        role = next((role for role in options if name.startswith(f"{role}_")), None)
        if role and (similar := difflib.get_close_matches(name, list(options[role]), n=1, cutoff=0.9)):
            problems.append(f"{name} is unknown. Did you mean {similar[0]} (role {role})?")
    return problems


def role_of(option: str, options: Mapping[str, Iterable[str]]) -> str:
    """Return the role that has an option, empty where none has it. `options` holds the option names by role."""
    return next((role for role, names in options.items() if option in names), "")


def shape_problems(name: str, option: Mapping[str, Any], value: Any) -> list[str]:
    """Report where a value is text, a number, a list or a dictionary, and its specification has another of these.

    Ansible converts text to lists and dictionaries where it checks them, and a template then reads single letters.
    Values are not repeated, because they may hold secrets.
    """
    kind = option.get("type", "str")
    if value is None:
        return []
    if kind == "dict":
        known = option.get("options") or {}
        keys = f" with the keys {', '.join(known)}" if known else ""
        if not isinstance(value, Mapping):
            return [f"{name} is {_kind_of(value)}, not a dictionary{keys}. {_ini_remedy(value)}".rstrip()]
        wrong = [key for key in value if not isinstance(key, str)]
        return [f"{name} has {_kind_of(key)} as a key, {key!r}, not text. Write it in quotes." for key in wrong] + [
            problem
            for key, inner in known.items()
            if key in value
            for problem in shape_problems(f"{name}.{key}", inner, value[key])
        ]
    if kind == "list":
        if isinstance(value, str) and name.rpartition(".")[2] in TEXT_LISTS:
            return []
        if not isinstance(value, list | tuple):
            remedy = _ini_remedy(value) or "Write it in square brackets, with commas between."
            return [f"{name} is {_kind_of(value)}, not a list. {remedy}"]
        # Lists of paths are of files on the controller, which may be relative.
        elements = option.get("elements", "str")
        item = {**option, "type": "str" if elements == "path" else elements}
        empty = [
            f"{name}[{position}] has no value. Write one, or remove it."
            for position, each in enumerate(value)
            if each is None
        ]
        return empty + [
            problem
            for position, each in enumerate(value)
            for problem in shape_problems(f"{name}[{position}]", item, each)
        ]
    if kind != "raw" and isinstance(value, Mapping | list | tuple):
        return [f"{name} is {_kind_of(value)}, not {KINDS.get(kind, 'text')}."]
    if kind in NUMBERS and not isinstance(value, bool):
        return _number_problems(name, value)
    if kind == "path" and not str(value).startswith(("/", "~", "$")):
        return [f"{name}: {str(value)!r} is not an absolute path. Write one that begins with /."]
    return []


def _number_problems(name: str, value: Any) -> list[str]:
    """Report what is not a number, negative, or too large for the programs that read it. A uid has its own limit."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return [f"{name} is {_kind_of(value)}, not a number."]
    if number < 0:
        return [f"{name} is a negative number, and no option of gpulab has negative values."]
    if (math.isnan(number) or number > LARGEST) and not name.endswith(".uid"):
        return [f"{name} is too large: write {LARGEST} or less."]
    return []


def _ini_remedy(value: Any) -> str:
    """Return what to do about a list or dictionary that an INI inventory could not read, empty for other values."""
    if not (isinstance(value, str) and value.lstrip().startswith(("[", "{"))):
        return ""
    return (
        "An INI inventory reads Python's notation: write True, False and None, quote all texts, or put the "
        "variable into a YAML file in group_vars."
    )


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, Mapping):
        return "a dictionary"
    if isinstance(value, list | tuple):
        return "a list"
    return "a number" if isinstance(value, int | float) else "text" if isinstance(value, str) else "a date"


def empty_names(values: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Report variables without a value: the default of a role's option holds only where the variable is not set."""
    return [
        f"{name} has no value. Write one, or remove the line."
        for name in sorted(names)
        if name in values and values[name] is None
    ]


def disagreements(values: Mapping[str, Any], variables: Iterable[str], roles: Path = ROLES) -> list[str]:
    """Report role options that must agree, when only one of them is set; the site `variables` set all of them."""
    problems = []
    for variable in variables:
        shared = _options_of(variable, roles)
        of_site = values.get(variable)
        for option in shared:
            if option in values and any(values.get(other, of_site) != values[option] for other in shared):
                others = ", ".join(other for other in shared if other != option)
                problems.append(
                    f"{option} is set alone, and {others} must be the same. Set {variable} instead; where {option} "
                    "belongs to another role of your site, rename it there."
                )
    return problems


def name_problems(values: Mapping[str, Any], patterns: Mapping[str, re.Pattern[str]], roles: Path = ROLES) -> list[str]:
    """Report names of groups and environments that a host or Jupyter would not accept.

    `patterns` has the accepted names by site variable; they hold for the role options that it sets, too.
    """
    return [
        f"{name}: {str(values[name])!r} is not an acceptable name. Use small letters, digits, hyphens and underscores, "
        "at most 31."
        for variable, pattern in patterns.items()
        for name in (variable, *_options_of(variable, roles))
        if values.get(name) is not None and not pattern.match(str(values[name]))
    ]


def _options_of(variable: str, roles: Path) -> list[str]:
    """Return the role options whose default is a site variable."""
    return [
        option
        for role in role_options(roles)
        for option, value in _defaults(roles / role).items()
        if (match := DEFAULT.match(str(value).strip())) and match[1] == variable
    ]


@cache
def _defaults(role: Path) -> dict[str, Any]:
    """Return the defaults of a role."""
    path = role / "defaults" / "main.yml"
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def renamed_names(variables: Mapping[str, Any], renamed: Mapping[str, str]) -> list[str]:
    """Report variables and keys that were renamed, with their new names.

    `renamed` maps old to new names. A name with dots is a key of a dictionary, a star any key:
    `gpulab_groups.*.shared_folder`.
    """
    return [
        f"{'.'.join(path)} was renamed: write {_replaced(path, new)} (playbooks/migrate.yml changes an inventory)."
        for old, new in renamed.items()
        for path in _paths(variables, old.split("."))
    ]


def _paths(value: Any, pattern: Sequence[str]) -> Iterable[list[str]]:
    """Return the paths of keys in nested dictionaries that fit a pattern."""
    if not pattern:
        yield []
    elif isinstance(value, Mapping):
        for key in list(value) if pattern[0] == "*" else [pattern[0]]:
            if key in value:
                yield from ([str(key), *rest] for rest in _paths(value[key], pattern[1:]))


def _replaced(path: Sequence[str], new: str) -> str:
    """Return the new name with the keys of a path in place of its stars."""
    return ".".join(key if part == "*" else part for key, part in zip(path, new.split("."), strict=True))


def reserved_problems(variables: Mapping[str, Any], reserved: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Report values of reserved variables that this release does not support.

    `reserved` holds by name what a value `needs` and which values are `accepted` nevertheless.
    """
    return [
        f"{name}: {variables[name]!r} needs {entry['needs']}, which is not implemented in this release. "
        f"Remove the variable, or set it to {' or '.join(map(repr, entry['accepted'][:2]))}."
        for name, entry in reserved.items()
        if name in variables and variables[name] is not None and variables[name] not in entry["accepted"]
    ]
