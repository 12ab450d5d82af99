"""What a user may use of a host: limits as they are requested, and as systemd writes them. Pure functions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

UNLIMITED = "unlimited"
KINDS = ("cpu", "memory", "swap", "tasks", "disk")
GROUP_KEYS = ("limits", "gpu", "shared_directory")
SIZE = re.compile(r"^(\d+(?:\.\d+)?)([KMGT])?$")
PERCENT = re.compile(r"^(\d+(?:\.\d+)?)%$")
FACTORS = {None: 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
"""Suffixes of systemd.resource-control(5): base 1024."""

LEAST_MEMORY = 512 * 2**20
"""An idle JupyterLab server holds 150 MB, and a kernel that has loaded TensorFlow 400 MB."""
LEAST_TASKS = 64
"""A server, a kernel and the threads of one numeric library on eight cores."""
LEAST_CPU = 0.1
LEAST_DISK = 10 * 2**20


def size(text: object) -> int | None:
    """Read a size as 512M or 16G; None when it is not one."""
    found = SIZE.match(str(text).strip())
    return int(float(found[1]) * FACTORS[found[2]]) if found else None


def limit_problems(limits: Mapping[str, Any]) -> list[str]:
    """Find limits that nobody could work under, or that say nothing."""
    found = []
    for kind, value in limits.items():
        if kind not in KINDS:
            near = difflib.get_close_matches(str(kind), KINDS, n=1)
            found.append(f"limits: {kind!r} is none of {', '.join(KINDS)}{f'; {near[0]}?' if near else ''}.")
        elif value is not None and str(value) != UNLIMITED and (problem := _problem(kind, value)):
            found.append(f"limits.{kind}: {value!r} {problem}")
    return found


def _problem(kind: str, value: object) -> str:
    text = str(value).strip()
    if isinstance(value, bool):
        return "is a truth value, no amount."
    if kind in ("cpu", "tasks"):
        try:
            number = float(text)
        except ValueError:
            return f"is no number{' of cores, as 2 or 0.5' if kind == 'cpu' else ', as 2000'}."
        if kind == "tasks" and not number.is_integer():
            return "is no whole number."
        least = LEAST_CPU if kind == "cpu" else LEAST_TASKS
        return "" if least <= number < float("inf") else f"is too little to work with; the least is {least}."
    if kind != "disk" and (percent := PERCENT.match(text)):
        return (
            ""
            if 0 < float(percent[1]) <= 100 or (kind == "swap" and float(percent[1]) == 0)
            else "is not within 1% to 100%."
        )
    amount = size(text)
    if amount is None:
        return f"is no size, as 512M or 16G{'' if kind == 'disk' else ' or 50%'}."
    least = {"memory": LEAST_MEMORY, "swap": 0, "disk": LEAST_DISK}[kind]
    return "" if amount >= least else f"is too little to work with; the least is {least // 2**20}M."


def group_problems(groups: Mapping[str, Any]) -> list[str]:
    """Find what is wrong with the requested groups, apart from their names."""
    found = []
    for name, setting in groups.items():
        if setting is not None and not isinstance(setting, Mapping):
            found.append(f"group {name}: {setting!r} is no dictionary with {', '.join(GROUP_KEYS)}.")
            continue
        entry = setting or {}
        found += [
            f"group {name}: {key!r} is none of {', '.join(GROUP_KEYS)}." for key in entry if key not in GROUP_KEYS
        ]
        limits = entry.get("limits") or {}
        if not isinstance(limits, Mapping):
            found.append(f"group {name}: limits: {limits!r} is no dictionary with {', '.join(KINDS)}.")
            continue
        found += [f"group {name}: {problem}" for problem in limit_problems(limits)]
        if not isinstance(entry.get("shared_directory", False), bool):
            found.append(f"group {name}: shared_directory is true or false.")
    return found


def larger(kind: str, one: object, other: object) -> object:
    """Give the more generous of two limits of a kind; a share of the host counts as more than any amount."""

    def rank(value: object) -> tuple[int, float]:
        text = str(value)
        if text == UNLIMITED:
            return (2, 0)
        if percent := PERCENT.match(text):
            return (1, float(percent[1]))
        return (0, float(text) if kind in ("cpu", "tasks") else float(size(text) or 0))

    return one if rank(one) >= rank(other) else other


def limits_of(account: Mapping[str, Any], groups: Mapping[str, Any], everybody: Mapping[str, Any]) -> dict[str, Any]:
    """Settle one user's limits: own settings, else the most generous of the groups', else everybody's."""
    found: dict[str, Any] = {}
    for group in account.get("groups") or []:
        for kind, value in ((groups.get(group) or {}).get("limits") or {}).items():
            if value is not None:
                found[kind] = larger(kind, found[kind], value) if kind in found else value
    own = {kind: value for kind, value in (account.get("limits") or {}).items() if value is not None}
    settled = {**everybody, **found, **own}
    return {kind: settled[kind] for kind in KINDS if kind in settled and str(settled[kind]) != UNLIMITED}


def slice_properties(limits: Mapping[str, Any]) -> dict[str, str]:
    """Write a limit as systemd does. Disk is no matter of slices."""
    written = {}
    if "cpu" in limits:
        written["CPUQuota"] = f"{round(float(limits['cpu']) * 100)}%"
    for kind, name in (("memory", "MemoryMax"), ("swap", "MemorySwapMax"), ("tasks", "TasksMax")):
        if kind in limits:
            written[name] = str(limits[kind])
    return written


def user_limits(
    accounts: Sequence[Mapping[str, Any]],
    groups: Mapping[str, Any] | None = None,
    everybody: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Give each user's limit: name, the limits that hold, and the properties of the slice."""
    found = []
    for account in accounts:
        limits = limits_of(account, groups or {}, everybody or {})
        found.append({"name": account["name"], "limits": limits, "properties": slice_properties(limits)})
    return found


def slips(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Find groups of users that look like a slip of the pen for one that is described."""
    described = sorted(set(known))
    near = {name: difflib.get_close_matches(name, described, n=1, cutoff=0.85) for name in set(names) - set(described)}
    return [
        f"group {name} is not described in gpulab_groups: did you mean {found[0]}?"
        for name, found in sorted(near.items())
        if found
    ]
