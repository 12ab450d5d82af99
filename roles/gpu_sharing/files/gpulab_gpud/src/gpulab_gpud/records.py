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
    old, new = _objects(before), _objects(after)
    for key, item in new.items():
        if key not in old or (old[key] is not item and old[key] != item):
            changed[key] = _text(dataclasses.asdict(item))
    removed = [key for key in old if key not in new]
    whole = encode(after.with_(requests=(), grants=(), usage={}))
    stale = encode(before.with_(requests=(), grants=(), usage={}))
    changed.update({key: text for key, text in whole.items() if stale.get(key) != text})
    return changed, removed


def _objects(state: State) -> dict[tuple[str, str], Any]:
    return {
        **{("request", f"{item.id:012}"): item for item in state.requests},
        **{("grant", f"{item.id:012}"): item for item in state.grants},
        **{("usage", user): usage for user, usage in state.usage.items()},
    }


def decode(records: Mapping[tuple[str, str], str]) -> State:
    """Return the state of some records; values that they lack have their defaults."""

    def values(kind: str) -> list[tuple[str, Any]]:
        return [(key, json.loads(text)) for (found, key), text in sorted(records.items()) if found == kind]

    general = dict(values("state")).get("state", {})
    return State(
        policy=_policy(dict(values("policy")).get("policy", {})),
        gpus=tuple(Gpu(**item) for item in dict(values("gpus")).get("gpus", [])),
        requests=tuple(_request(item) for _, item in values("request")),
        grants=tuple(_grant(item) for _, item in sorted(values("grant"), key=lambda pair: _order(pair[1]))),
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
