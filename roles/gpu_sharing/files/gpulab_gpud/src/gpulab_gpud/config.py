# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of the broker, a JSON file that the role gpu_sharing writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpulab_gpud.core.model import Limits, Policy

PATH = Path("/etc/gpulab/gpu.json")
KEYS = {
    "policy", "slots", "hold_seconds", "confirmation_seconds", "user_slots", "groups", "users_group", "admin_group",
    "delegates", "devices",
}  # fmt: skip
GROUP_KEYS = {"priority", "slots", "total_slots", "hold_seconds"}


class Invalid(Exception):
    """A configuration that cannot be used."""


@dataclass(frozen=True)
class Config:
    """The configuration. `devices` are nodes that count as GPUs on a host without any, for tests."""

    policy: Policy
    users_group: str
    admin_group: str
    delegates: frozenset[str] = frozenset()
    """Accounts that may act for users, such as that of the hub."""
    devices: tuple[str, ...] = ()


def read(path: Path = PATH) -> Config:
    """Read the configuration; raises Invalid with the file's name and the reason."""
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Invalid(f"{path} cannot be used: {error!r}. Run site.yml, which writes it.") from error


def parse(values: dict[str, Any]) -> Config:
    """Return the configuration of some values; raises ValueError, KeyError or TypeError for wrong ones."""
    if unknown := set(values) - KEYS:
        raise ValueError(f"unknown keys: {', '.join(sorted(unknown))}")
    policy = Policy(
        name=str(values["policy"]),
        slots=_positive("slots", values["slots"]),
        hold=_positive("hold_seconds", values["hold_seconds"]),
        confirmation=_positive("confirmation_seconds", values["confirmation_seconds"]),
        default=Limits(slots=_limit("user_slots", values["user_slots"])),
        groups={str(name): _limits(name, group, values["user_slots"]) for name, group in values["groups"].items()},
    )
    if policy.name not in ("exclusive", "timeslice") or (policy.name == "exclusive" and policy.slots != 1):
        raise ValueError(f"the policy {policy.name} with {policy.slots} slots does not exist")
    return Config(
        policy=policy,
        users_group=str(values["users_group"]),
        admin_group=str(values["admin_group"]),
        delegates=frozenset(values["delegates"]),
        devices=tuple(values["devices"]),
    )


def _limits(name: str, group: dict[str, Any], user_slots: int) -> Limits:
    if unknown := set(group) - GROUP_KEYS:
        raise ValueError(f"unknown keys of the group {name}: {', '.join(sorted(unknown))}")
    hold = group.get("hold_seconds", 0)
    return Limits(
        priority=int(group.get("priority", 0)),
        slots=_limit(f"{name}.slots", group.get("slots", user_slots)),
        total_slots=_limit(f"{name}.total_slots", group.get("total_slots", 0)),
        hold=_positive(f"{name}.hold_seconds", hold) if hold else None,
    )


def _positive(name: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10**9:
        raise ValueError(f"{name} must be a positive number, not {value!r}")
    return value


def _limit(name: str, value: Any) -> int | None:
    """Return a limit; 0 is none."""
    return int(_positive(name, value)) if value else None
