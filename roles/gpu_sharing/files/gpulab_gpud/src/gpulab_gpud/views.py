# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients see of the state, as JSON objects. Times are seconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpulab_gpud.cards import Card
from gpulab_gpud.clock import Clock
from gpulab_gpud.core import views
from gpulab_gpud.core.model import Grant, Request, State


class Names:
    """Numbers and names of the GPUs, in the order of the PCI bus (CUDA_DEVICE_ORDER=PCI_BUS_ID)."""

    def __init__(self, cards: Sequence[Card] = ()) -> None:
        self._names = {card.uuid: (index, card.name) for index, card in enumerate(cards)}

    def gpu(self, uuid: str) -> dict[str, Any]:
        """Return the number, name and UUID of a GPU."""
        index, name = self._names.get(uuid, (None, "unknown"))
        return {"index": index, "name": name, "uuid": uuid}


def state(current: State, clock: Clock, names: Names) -> dict[str, Any]:
    """Return all GPUs, grants and waiting requests."""
    now = clock.now()
    turns = views.turns(current, now)
    waiting = sorted(current.requests, key=lambda item: turns[item.id].position)
    return {
        "policy": {
            "name": current.policy.name,
            "slots": current.policy.slots,
            "hold_seconds": current.policy.hold,
        },
        "gpus": [
            {
                **names.gpu(gpu.uuid),
                "problem": gpu.problem,
                "slots": current.policy.slots,
                "free": 0 if gpu.problem else current.policy.slots - current.used(gpu.uuid),
            }
            for gpu in current.gpus
        ],
        "grants": [grant(item, clock, names) for item in current.grants],
        "waiting": [request(item, clock, turns) for item in waiting],
        "open_until": clock.wall(current.open_until) if now < current.open_until else None,
    }


def grant(item: Grant, clock: Clock, names: Names) -> dict[str, Any]:
    """Return a grant."""
    return {
        **_common(item.request),
        "status": "granted",
        "gpus": [names.gpu(uuid) for uuid in item.gpus],
        "since": clock.wall(item.since),
        "until": clock.wall(item.until),
        "confirmed": item.confirmed,
    }


def request(item: Request, clock: Clock, turns: Mapping[int, views.Turn]) -> dict[str, Any]:
    """Return a waiting request with its position."""
    turn = turns[item.id]
    return {
        **_common(item),
        "status": "waiting",
        "count": item.gpus,
        "arrived": clock.wall(item.arrived),
        "position": turn.position,
        "reason": turn.reason,
        "starts_at": None if turn.starts_at is None else clock.wall(turn.starts_at),
    }


def _common(item: Request) -> dict[str, Any]:
    return {"id": item.id, "user": item.user, "whole": item.whole, "doors": list(item.doors), "note": item.note}
