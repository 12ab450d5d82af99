# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue: its order, and which request can have which GPUs now."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from gpulab_gpud.core.model import AGEING, Grant, Request, State, Usage


@dataclass(frozen=True)
class Plan:
    """What a request can have now: GPUs, and grants that end for it; or else why it waits, and what is kept for it."""

    gpus: tuple[str, ...] = ()
    ends: tuple[Grant, ...] = ()
    reason: str = ""
    kept: Mapping[str, int] = field(default_factory=dict)
    """Slots of GPUs that no later request may take."""
    held_back: str = ""
    """Group of which no later request may take slots."""
    ready_at: float = math.inf


def ordered(state: State, now: float) -> list[Request]:
    """Return the waiting requests in the order of their turns: priority and age, fair share, arrival."""
    current = state.current_seconds(now)

    def turn(request: Request) -> tuple[float, float, float, int]:
        level = state.policy.limits(request.group).priority + math.floor((now - request.arrived) / AGEING)
        stored = state.usage.get(request.user)
        used = (stored.value(now) if stored else 0.0) + current.get(request.user, 0.0)
        return -level, used, request.arrived, request.id

    return sorted(state.requests, key=turn)


def has_slots(state: State, now: float, kept: Mapping[str, int]) -> bool:
    """Return whether any GPU has slots that are free, or whose time is over, and that are not kept for a request."""
    current = [grant for grant in state.grants if grant.until > now]
    held = state.with_(grants=tuple(current))
    return any(held.used(gpu.uuid) + kept.get(gpu.uuid, 0) < state.policy.slots for gpu in state.in_service())


def limit_reason(state: State, request: Request) -> str:
    """Return why the user's own limit keeps a request waiting, empty if it does not."""
    limit = state.policy.limits(request.group).slots
    held = state.slots_of(user=request.user)
    if limit is None or held + state.width(request) * request.gpus <= limit:
        return ""
    return f"you hold {held} of your {limit} slots"


def plan(state: State, now: float, request: Request, kept: Mapping[str, int], held_back: Set[str]) -> Plan:
    """Return what a request can have now, when earlier ones in the queue keep some slots and hold back some groups."""
    width = state.width(request)
    need = width * request.gpus
    limits = state.policy.limits(request.group)
    if reason := limit_reason(state, request):
        return Plan(reason=reason)
    if request.group in held_back:
        return Plan(reason=f"an earlier request of the group {request.group} waits for its limit")
    ends: list[Grant] = []
    if limits.total_slots is not None:
        excess = state.slots_of(group=request.group) + need - limits.total_slots
        for grant in _overdue(state, now):
            if excess > 0 and grant.request.group == request.group:
                ends.append(grant)
                excess -= state.width(grant.request) * len(grant.gpus)
        if excess > 0:
            reason = f"the group {request.group} holds its {limits.total_slots} slots"
            return Plan(reason=reason, held_back=request.group)
    usable = state.in_service()
    if len(usable) < request.gpus:
        return Plan(reason=f"{len(state.gpus) - len(usable)} of {len(state.gpus)} GPUs are out of service")
    chosen = _choices(state, now, request, kept, ends)[: request.gpus]
    if len(chosen) == request.gpus:
        all_ends = {grant.id: grant for grant in ends + [grant for choice in chosen for grant in choice.ends]}
        return Plan(tuple(choice.uuid for choice in chosen), tuple(all_ends.values()))
    return _keep(state, request, kept)


@dataclass(frozen=True)
class _Choice:
    uuid: str
    ends: tuple[Grant, ...]


def _overdue(state: State, now: float) -> list[Grant]:
    """Return the grants whose time is over, the oldest first."""
    return sorted((grant for grant in state.grants if grant.until <= now), key=lambda grant: (grant.until, grant.id))


def _choices(state: State, now: float, request: Request, kept: Mapping[str, int], ends: list[Grant]) -> list[_Choice]:
    """Return the GPUs that a request can have, the best first: no grant ends, least loaded, last one."""
    width = state.width(request)
    last = state.usage.get(request.user, Usage()).last
    own = {uuid for grant in state.grants if grant.user == request.user for uuid in grant.gpus}
    ending = {grant.id for grant in ends}
    rated = []
    for index, gpu in enumerate(state.in_service()):
        used = state.used(gpu.uuid, ending)
        free = state.policy.slots - used - kept.get(gpu.uuid, 0)
        further: list[Grant] = []
        for grant in _overdue(state, now):
            if free < width and gpu.uuid in grant.gpus and grant.id not in ending:
                further.append(grant)
                free += state.width(grant.request)
        if free >= width:
            rating = (len(further), gpu.uuid in own, used, gpu.uuid != last, index)
            rated.append((rating, _Choice(gpu.uuid, tuple(further))))
    return [choice for _rating, choice in sorted(rated, key=lambda entry: entry[0])]


def _keep(state: State, request: Request, kept: Mapping[str, int]) -> Plan:
    """Return the slots that are kept for a request: those of the GPUs that are free first.

    No later request gets them, so the time at which they are all free never moves away: the request collects them one
    by one. Grants whose time is over go on until then, so that nothing stands idle that need not.
    """
    width = state.width(request)
    ready = []
    for gpu in state.in_service():
        free = state.policy.slots - state.used(gpu.uuid) - kept.get(gpu.uuid, 0)
        at = state.now if free >= width else math.inf
        for grant in sorted((grant for grant in state.grants if gpu.uuid in grant.gpus), key=lambda grant: grant.until):
            if free < width:
                free += state.width(grant.request)
                at = grant.until if free >= width else math.inf
        if at < math.inf:
            ready.append((at, gpu.uuid))
    targets = sorted(ready)[: request.gpus]
    users = sorted({grant.user for grant in state.grants for _ready_at, uuid in targets if uuid in grant.gpus})
    if len(targets) < request.gpus:
        return Plan(reason="earlier requests are first", kept={uuid: width for _ready_at, uuid in targets})
    holders = f"held by {', '.join(users)}" if users else "kept for an earlier request"
    return Plan(
        reason=holders, kept={uuid: width for _ready_at, uuid in targets}, ready_at=max(at for at, _uuid in targets)
    )
