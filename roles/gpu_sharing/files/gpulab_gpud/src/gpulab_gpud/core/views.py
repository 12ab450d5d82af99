# SPDX-License-Identifier: GPL-3.0-or-later
"""What users see of the queue: position, reason and estimated start."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gpulab_gpud.core import broker, queue
from gpulab_gpud.core.model import State

MOST_STEPS = 200
"""Ends of grants that an estimate follows."""


@dataclass(frozen=True)
class Turn:
    """The turn of a waiting request: its position, why it waits, and when it starts if all holders use their time."""

    position: int
    reason: str
    starts_at: float | None


def turns(state: State, now: float) -> dict[int, Turn]:
    """Return the turns of all waiting requests by number."""
    kept: dict[str, int] = {}
    held_back: set[str] = set()
    starts = estimates(state, now)
    result = {}
    for position, request in enumerate(queue.ordered(state, now), start=1):
        plan = queue.plan(state, now, request, kept, held_back)
        for uuid, slots in plan.kept.items():
            kept[uuid] = kept.get(uuid, 0) + slots
        held_back |= {plan.held_back} - {""}
        result[request.id] = Turn(position, plan.reason, starts.get(request.id))
    return result


def estimates(state: State, now: float) -> dict[int, float]:
    """Return when each waiting request starts if every grant uses its whole time; those without an estimate lack."""
    waiting = {request.id for request in state.requests}
    result: dict[int, float] = {}
    for _ in range(MOST_STEPS):
        if not state.requests:
            break
        now = min((grant.until for grant in state.grants if grant.until > now), default=math.inf)
        if now == math.inf:
            break
        state = broker.tick(state, now).state
        # The estimate is for users who take their turn.
        for grant in state.grants:
            if grant.id in waiting and grant.id not in result:
                result[grant.id] = grant.since
                state = broker.confirm(state, now, grant.id).state
    return result
