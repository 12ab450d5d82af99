# SPDX-License-Identifier: GPL-3.0-or-later
"""What users see of the queue: position, reason and estimated start."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass

from gpulab_gpud.core import broker, queue
from gpulab_gpud.core.model import State

ESTIMATED = 24
"""Positions of the queue, and ends of grants, up to which starts are estimated."""


@dataclass(frozen=True)
class Turn:
    """The turn of a waiting request: its position, why it waits, and when it starts if all holders use their time."""

    position: int
    reason: str
    starts_at: float | None


def turns(state: State, now: float, numbers: Container[int] | None = None) -> dict[int, Turn]:
    """Return the turns of waiting requests by number: of all, or of some numbers."""
    kept: dict[str, int] = {}
    held_back: set[str] = set()
    shown = [request.id for request in state.requests if numbers is None or request.id in numbers]
    order = queue.ordered(state, now)
    first = order[:ESTIMATED]
    starts = estimates(state.with_(requests=tuple(first)), now, [item.id for item in first if item.id in shown])
    result = {}
    everything = state.policy.slots * len(state.in_service())
    for position, request in enumerate(order, start=1):
        # Behind requests for which all slots are kept, only the own limits are worth a word.
        if sum(kept.values()) >= everything > 0:
            reason = queue.limit_reason(state, request) or "earlier requests are first"
        else:
            plan = queue.plan(state, now, request, kept, held_back)
            for uuid, slots in plan.kept.items():
                kept[uuid] = kept.get(uuid, 0) + slots
            held_back |= {plan.held_back} - {""}
            reason = plan.reason
        if request.id in shown:
            result[request.id] = Turn(position, reason, starts.get(request.id))
    return result


def estimates(state: State, now: float, numbers: list[int]) -> dict[int, float]:
    """Return when waiting requests start if every grant uses its whole time; those without an estimate lack."""
    waiting = {request.id for request in state.requests}
    result: dict[int, float] = {}
    for _number in range(ESTIMATED):
        if all(number in result for number in numbers):
            break
        now = min((grant.until for grant in state.grants if grant.until > now), default=math.inf)
        if now == math.inf:
            break
        state = broker.tick(state, now).state
        for grant in state.grants:
            if grant.id in waiting and grant.id not in result:
                result[grant.id] = grant.since
                # The estimate is for users who take their turn.
                state = broker.confirmed(state, grant)
    return result
