# SPDX-License-Identifier: GPL-3.0-or-later
"""Resource limits of users: checks of what is requested, and the form that systemd and quotas read. Pure functions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.gpulab.core.plugins.plugin_utils.users.values import group_names

UNLIMITED = "unlimited"
KINDS = ("cpu", "memory", "swap", "tasks", "disk")
GROUP_KEYS = ("limits", "gpu", "shared_directory")
SIZE = re.compile(r"^(\d{1,18}(?:\.\d+)?)([KMGT])?$")
PERCENT = re.compile(r"^(\d+(?:\.\d+)?)%$")
FACTORS = {None: 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
"""Suffixes of systemd.resource-control(5): base 1024."""

MIN_MEMORY = 512 * 2**20
"""An idle JupyterLab server holds 150 MB, and a kernel that has loaded TensorFlow 400 MB."""
MIN_TASKS = 64
"""A server, a kernel and the threads of one numeric library on eight cores."""
MIN_CPU = 0.1
MIN_DISK = 10 * 2**20
MAX_CPU, MAX_TASKS, MAX_SIZE = 8192, 4194304, 1024 * 2**40
"""More than any host has (Linux: NR_CPUS, PID_MAX_LIMIT); systemd ignores values that it cannot hold."""


def size(text: object) -> int | None:
    """Return a size such as 512M or 16G in bytes; None where the text is not a size."""
    match = SIZE.match(str(text).strip())
    return int(float(match[1]) * FACTORS[match[2]]) if match else None


def limit_problems(limits: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each limit with an unknown key, without a meaning or too small to work with."""
    problems = []
    for kind, value in limits.items():
        if kind not in KINDS:
            near = difflib.get_close_matches(str(kind), KINDS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            problems.append(f"limits: {kind!r} is not one of {', '.join(KINDS)}.{hint}")
        elif value is not None and str(value) != UNLIMITED and (problem := _problem(kind, value)):
            problems.append(f"limits.{kind}: {value!r} {problem}")
    return problems


def _problem(kind: str, value: object) -> str:
    """Return what is wrong with one limit, empty where it is fine."""
    text = str(value).strip()
    if isinstance(value, bool):
        return "is a truth value, not an amount."
    if kind in ("cpu", "tasks"):
        try:
            number = float(text)
        except ValueError:
            return f"is not a number{' of cores, such as 2 or 0.5' if kind == 'cpu' else ', such as 2000'}."
        if kind == "tasks" and not number.is_integer():
            return "is not a whole number."
        minimum, maximum = (MIN_CPU, MAX_CPU) if kind == "cpu" else (MIN_TASKS, MAX_TASKS)
        if number > maximum:
            return f"is too much; the maximum is {maximum}. Write unlimited for none."
        return "" if number >= minimum else f"is too little to work with; the minimum is {minimum}."
    if kind != "disk" and (percent := PERCENT.match(text)):
        within = 0 < float(percent[1]) <= 100 or (kind == "swap" and float(percent[1]) == 0)
        return "" if within else "is not within 1% to 100%."
    amount = size(text)
    if amount is None:
        return f"is not a size, such as 512M or 16G{'' if kind == 'disk' else ' or 50%'}."
    minimum = {"memory": MIN_MEMORY, "swap": 0, "disk": MIN_DISK}[kind]
    if amount > MAX_SIZE:
        return f"is too much; the maximum is {MAX_SIZE // 2**40}T. Write unlimited for none."
    return "" if amount >= minimum else f"is too little to work with; the minimum is {minimum // 2**20}M."


def group_problems(groups: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each wrong key or value of the requested groups, apart from their names."""
    problems = []
    for name, group in groups.items():
        if group is not None and not isinstance(group, Mapping):
            problems.append(f"group {name}: {group!r} is not a dictionary with the keys {', '.join(GROUP_KEYS)}.")
            continue
        options = group or {}
        problems += [
            f"group {name}: {key!r} is not one of {', '.join(GROUP_KEYS)}." for key in options if key not in GROUP_KEYS
        ]
        limits = options.get("limits") or {}
        if not isinstance(limits, Mapping):
            problems.append(f"group {name}: limits: {limits!r} is not a dictionary with the keys {', '.join(KINDS)}.")
            continue
        problems += [f"group {name}: {problem}" for problem in limit_problems(limits)]
        if not isinstance(options.get("shared_directory", False), bool):
            problems.append(f"group {name}: shared_directory is not true or false.")
    return problems


def misspelt_groups(names: Iterable[str], described: Iterable[str]) -> list[str]:
    """Return a sentence for each group that is named like a described one, but is not described itself."""
    known = sorted(set(map(str, described)))
    near = {name: difflib.get_close_matches(name, known, n=1, cutoff=0.85) for name in set(names) - set(known)}
    return [
        f"users_groups (gpulab_groups): group {name} is not described there: did you mean {matches[0]}? "
        f"If not, add {name}: {{}}."
        for name, matches in sorted(near.items())
        if matches
    ]


def larger(kind: str, one: object, other: object) -> object:
    """Return the more generous of two limits of a kind; a share of the host counts as more than any amount."""

    def rank(value: object) -> tuple[int, float]:
        text = str(value)
        if text == UNLIMITED:
            return (2, 0)
        if percent := PERCENT.match(text):
            return (1, float(percent[1]))
        return (0, float(text) if kind in ("cpu", "tasks") else float(size(text) or 0))

    return one if rank(one) >= rank(other) else other


def limits_of(account: Mapping[str, Any], groups: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the limits that hold for one user: own ones, else the most generous of the groups, else the defaults."""
    of_groups: dict[str, Any] = {}
    for group in group_names(account):
        for kind, value in ((groups.get(group) or {}).get("limits") or {}).items():
            if value is not None:
                of_groups[kind] = larger(kind, of_groups[kind], value) if kind in of_groups else value
    own = {kind: value for kind, value in (account.get("limits") or {}).items() if value is not None}
    limits = {**defaults, **of_groups, **own}
    return {kind: limits[kind] for kind in KINDS if kind in limits and str(limits[kind]) != UNLIMITED}


def slice_properties(limits: Mapping[str, Any]) -> dict[str, str]:
    """Return limits as properties of systemd.resource-control(5), sorted by name; disk has none."""
    properties = {}
    if "cpu" in limits:
        properties["CPUQuota"] = f"{round(float(limits['cpu']) * 100)}%"
    for kind, name in (("memory", "MemoryMax"), ("swap", "MemorySwapMax"), ("tasks", "TasksMax")):
        if kind in limits:
            properties[name] = str(limits[kind])
    return dict(sorted(properties.items()))
