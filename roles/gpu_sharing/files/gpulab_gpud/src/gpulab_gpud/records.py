# SPDX-License-Identifier: GPL-3.0-or-later
"""The state as records for the database, one JSON text for each grant and each request, and back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from gpulab_gpud.core.model import Gpu, Grant, Limits, Policy, Process, Request, State, Usage

Records = dict[tuple[str, str], str]
"""Records by kind and key."""


def encode(state: State) -> Records:
    """Return the records of a state."""
    records: Records = {("state", "state"): _text({"next_id": state.next_id, "open_until": state.open_until})}
    records[("clock", "now")] = _text(state.now)
    records[("policy", "policy")] = _text(dataclasses.asdict(state.policy))
    records[("gpus", "gpus")] = _text([dataclasses.asdict(gpu) for gpu in state.gpus])
    return {**records, **{key: _text(dataclasses.asdict(item)) for key, item in _objects(state).items()}}


def changes(before: State, after: State) -> tuple[Records, list[tuple[str, str]]]:
    """Return the records that differ between two states, and the keys of those that are gone."""
    changed: Records = {("clock", "now"): _text(after.now)}
    removed: list[tuple[str, str]] = []
    for kind, old, new in (
        ("request", before.requests, after.requests),
        ("grant", before.grants, after.grants),
        ("usage", before.usage, after.usage),
    ):
        # Most changes touch one of them, and leave the other tuples as they are.
        if old is not new:
            known, now = _keyed(kind, old), _keyed(kind, new)
            changed.update(
                {key: _text(dataclasses.asdict(item)) for key, item in now.items() if known.get(key) is not item}
            )
            removed += [key for key in known if key not in now]
    if (before.policy, before.gpus) != (after.policy, after.gpus):
        changed.update({key: text for key, text in encode(after).items() if key[0] in ("policy", "gpus")})
    changed[("state", "state")] = _text({"next_id": after.next_id, "open_until": after.open_until})
    return changed, removed


def _keyed(kind: str, items: Any) -> dict[tuple[str, str], Any]:
    """Return the objects of one kind by the keys of their records."""
    if kind == "usage":
        return {("usage", user): usage for user, usage in items.items()}
    return {(kind, f"{item.id:012}"): item for item in items}


def _objects(state: State) -> dict[tuple[str, str], Any]:
    return {
        **_keyed("request", state.requests),
        **_keyed("grant", state.grants),
        **_keyed("usage", state.usage),
    }


def decode(records: Mapping[tuple[str, str], str]) -> State:
    """Return the state of some records; values that they lack have their defaults."""

    def values(kind: str) -> list[tuple[str, Any]]:
        return [(key, json.loads(text)) for (found, key), text in sorted(records.items()) if found == kind]

    general = dict(values("state")).get("state", {})
    return State(
        policy=_policy(dict(values("policy")).get("policy", {})),
        gpus=tuple(Gpu(**item) for item in dict(values("gpus")).get("gpus", [])),
        requests=tuple(_request(item) for _key, item in values("request")),
        grants=tuple(_grant(item) for _key, item in sorted(values("grant"), key=lambda pair: _order(pair[1]))),
        usage={user: Usage(**item) for user, item in values("usage")},
        now=dict(values("clock")).get("now", 0.0),
        **general,
    )


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _order(grant: Mapping[str, Any]) -> tuple[float, int]:
    return grant["since"], grant["request"]["id"]


def _policy(item: dict[str, Any]) -> Policy:
    if not item:
        return Policy()
    groups = {name: Limits(**limits) for name, limits in item.pop("groups").items()}
    return Policy(default=Limits(**item.pop("default")), groups=groups, **item)


def _request(item: dict[str, Any]) -> Request:
    process = item.pop("process")
    return Request(**{**item, "doors": tuple(item["doors"])}, process=Process(**process) if process else None)


def _grant(item: dict[str, Any]) -> Grant:
    request = _request(item.pop("request"))
    return Grant(request, tuple(item.pop("gpus")), **item)
