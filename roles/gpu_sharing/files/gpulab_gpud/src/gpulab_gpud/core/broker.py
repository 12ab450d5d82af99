# SPDX-License-Identifier: GPL-3.0-or-later
"""What can happen to the state: each function returns a new state and the events that led to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from gpulab_gpud.core import queue
from gpulab_gpud.core.model import (
    LONGEST_NOTE,
    MOST_WAITING,
    Event,
    Gpu,
    Grant,
    Policy,
    Process,
    Rejected,
    Request,
    State,
    Usage,
)


@dataclass(frozen=True)
class Step:
    """A new state, the events on the way to it, and the number of the request that it is about."""

    state: State
    events: tuple[Event, ...] = ()
    id: int = 0


@dataclass(frozen=True)
class Order:
    """A user's order. `seconds` is None for the longest time of the user's group."""

    user: str
    groups: tuple[str, ...] = ()
    gpus: int = 1
    whole: bool = False
    seconds: float | None = None
    door: str = "ssh"
    shared: bool = True
    note: str = ""
    process: Process | None = None


class _Change:
    """Collects the changes of one step."""

    def __init__(self, state: State, now: float) -> None:
        # Time never goes back, whatever the caller's clock does.
        self.now = max(now, state.now)
        self.state = state.with_(now=self.now)
        self.events: list[Event] = []

    def add(self, kind: str, request: Request | None, text: str, user: str = "") -> None:
        number = request.id if request else 0
        self.events.append(Event(self.now, kind, request.user if request else user, number, text))

    def end(self, grant: Grant, kind: str, text: str) -> None:
        """End a grant and count its GPU time."""
        self.count(grant)
        self.state = self.state.with_(grants=tuple(other for other in self.state.grants if other.id != grant.id))
        self.add(kind, grant.request, text)

    def count(self, grant: Grant) -> Grant:
        """Add the GPU time of a grant until now to its user's usage, and return the grant."""
        share = self.state.width(grant.request) / self.state.policy.slots
        seconds = (self.now - grant.counted_from) * len(grant.gpus) * share
        before = self.state.usage.get(grant.user, Usage()).value(self.now)
        usage = Usage(before + seconds, self.now, grant.gpus[0])
        counted = replace(grant, counted_from=self.now)
        self.state = self.state.with_(usage={**self.state.usage, grant.user: usage})
        self.replace_grant(counted)
        return counted

    def cancel(self, request: Request, kind: str, text: str) -> None:
        """Remove a waiting request."""
        self.state = self.state.with_(requests=tuple(other for other in self.state.requests if other.id != request.id))
        self.add(kind, request, text)

    def replace_grant(self, grant: Grant) -> None:
        self.state = self.state.with_(
            grants=tuple(grant if other.id == grant.id else other for other in self.state.grants)
        )

    def schedule(self) -> None:
        """Give every waiting request, in the order of the queue, what it can have."""
        kept: dict[str, int] = {}
        held_back: set[str] = set()
        if not self.state.requests or not queue.has_slots(self.state, self.now, kept):
            return
        for request in queue.ordered(self.state, self.now):
            if not queue.has_slots(self.state, self.now, kept):
                break
            plan = queue.plan(self.state, self.now, request, kept, held_back)
            if plan.gpus:
                for grant in plan.ends:
                    over = "was not taken in time" if not grant.confirmed else "had its time"
                    self.end(grant, "ended", f"{over}, and {request.user} was next")
                self._grant(request, plan.gpus)
            else:
                for uuid, slots in plan.kept.items():
                    kept[uuid] = kept.get(uuid, 0) + slots
                held_back |= {plan.held_back} - {""}

    def done(self, number: int = 0) -> Step:
        """Schedule, and return the step."""
        self.schedule()
        return Step(self.state, tuple(self.events), number)

    def _grant(self, request: Request, gpus: tuple[str, ...]) -> None:
        # A user who gets the GPUs at once is there; one who has waited has to take the turn.
        at_once = request.arrived == self.now
        grant = Grant(
            request,
            gpus,
            since=self.now,
            hold_until=self.now + request.hold,
            confirm_until=self.now + self.state.policy.confirmation,
            confirmed=at_once,
            counted_from=self.now,
        )
        self.state = self.state.with_(
            requests=tuple(other for other in self.state.requests if other.id != request.id),
            grants=(*self.state.grants, grant),
        )
        self.add("granted", request, " ".join(gpus))


def request(state: State, now: float, order: Order) -> Step:
    """Grant GPUs to a user, or let the request wait; raises Rejected for one that can never be granted."""
    group = state.policy.group_of(order.groups)
    hold = _hold(state, order, group)
    _reject_impossible(state, order.gpus, order.whole, group)
    change = _Change(state, now)
    if order.shared and (existing := _joined(state, order)):
        return _join(change, existing, order.door)
    if sum(waiting.user == order.user for waiting in state.requests) >= MOST_WAITING:
        raise Rejected(f"you have {MOST_WAITING} waiting requests. Release one (gpulab gpu release ID) first.", 429)
    new = Request(
        id=state.next_id,
        user=order.user,
        group=group,
        gpus=order.gpus,
        whole=order.whole,
        hold=hold,
        arrived=change.now,
        doors=(order.door,),
        shared=order.shared,
        note=order.note[:LONGEST_NOTE],
        process=order.process,
    )
    change.state = change.state.with_(requests=(*change.state.requests, new), next_id=new.id + 1)
    change.add("requested", new, f"{new.gpus} {'whole ' if new.whole else ''}by {order.door}")
    return change.done(new.id)


def release(state: State, now: float, number: int, door: str = "") -> Step:
    """End a grant or a waiting request; with a door, only when no other door uses it."""
    change = _Change(state, now)
    entry = state.find(number)
    if entry is None:
        return change.done(number)
    request = entry.request if isinstance(entry, Grant) else entry
    if door and (left := tuple(other for other in request.doors if other != door)):
        _set_doors(change, entry, left)
    elif isinstance(entry, Grant):
        change.end(entry, "released", door)
    else:
        change.cancel(entry, "cancelled", door)
    return change.done(number)


def release_door(state: State, now: float, user: str, door: str) -> Step:
    """Release all that a user has through one door."""
    events: list[Event] = []
    for entry in state.entries():
        request = entry.request if isinstance(entry, Grant) else entry
        if request.user == user and door in request.doors:
            step = release(state, now, request.id, door)
            state, events = step.state, [*events, *step.events]
    return Step(state, tuple(events))


def remove_users(state: State, now: float, users: Iterable[str], text: str) -> Step:
    """End all grants and requests of users who may not use GPUs any more."""
    change = _Change(state, now)
    removed = set(users)
    for grant in state.grants:
        if grant.user in removed:
            change.end(grant, "removed", text)
    for waiting in state.requests:
        if waiting.user in removed:
            change.cancel(waiting, "removed", text)
    return change.done()


def extend(state: State, now: float, number: int, seconds: float | None = None) -> Step:
    """Extend a grant to some seconds from now; raises Rejected when other users wait, or beyond the longest time."""
    change = _Change(state, now)
    grant = state.find(number)
    if not isinstance(grant, Grant):
        raise Rejected(f"{number} is not a grant. `gpulab gpu list` shows yours.", 404)
    waiting = sorted({other.user for other in state.requests if other.user != grant.user})
    if waiting:
        raise Rejected(f"{', '.join(waiting)} wait for a GPU. Grants are not extended as long as other users wait.")
    longest = state.policy.longest(grant.request.group)
    _reject_time(seconds, longest)
    until = change.now + (longest if seconds is None else seconds)
    change.replace_grant(replace(grant, hold_until=max(until, grant.hold_until), confirmed=True))
    change.add("extended", grant.request, f"to {until - change.now:.0f} s from now")
    return change.done(number)


def confirm(state: State, now: float, number: int) -> Step:
    """Take the turn of a request that had to wait; does nothing for others."""
    change = _Change(state, now)
    grant = state.find(number)
    if isinstance(grant, Grant) and not grant.confirmed:
        change.replace_grant(replace(grant, confirmed=True))
        change.add("confirmed", grant.request, "")
    return change.done(number)


def confirmed(state: State, grant: Grant) -> State:
    """Return the state in which the turn of a grant was taken."""
    grants = (replace(other, confirmed=True) if other.id == grant.id else other for other in state.grants)
    return state.with_(grants=tuple(grants))


def set_gpus(state: State, now: float, gpus: Sequence[Gpu]) -> Step:
    """Take over the GPUs of the host: grants lose those that are gone or out of service, and end without any."""
    change = _Change(state, now)
    before = {gpu.uuid: gpu.problem for gpu in state.gpus}
    for gpu in gpus:
        if before.get(gpu.uuid, "") != gpu.problem:
            text = f"{gpu.uuid}: {gpu.problem or 'back in service'}"
            change.events.append(Event(change.now, "gpu", "", 0, text))
    change.state = change.state.with_(gpus=tuple(gpus))
    _drop_gpus(change)
    _cancel_impossible(change)
    return change.done()


def configure(state: State, now: float, policy: Policy) -> Step:
    """Take over another policy. Grants stay where they fit, the oldest first; no GPU has more of them than slots."""
    change = _Change(state, now)
    if policy == state.policy:
        return change.done()
    # With the old slots, which the GPUs were used with until now.
    grants = [change.count(grant) for grant in state.grants]
    change.state = change.state.with_(policy=policy)
    change.add("configured", None, f"{policy.name}, slots of each GPU: {policy.slots}")
    fitting = change.state.with_(grants=())
    for grant in sorted(grants, key=lambda grant: (grant.since, grant.id)):
        width = change.state.width(grant.request)
        if all(fitting.used(uuid) + width <= policy.slots for uuid in grant.gpus):
            fitting = fitting.with_(grants=(*fitting.grants, grant))
        else:
            change.end(grant, "ended", "the number of slots was changed")
    _cancel_impossible(change)
    return change.done()


def tick(state: State, now: float) -> Step:
    """Let time pass: grants end whose time is over and whose slots are requested."""
    return _Change(state, now).done()


def open_all(state: State, now: float, seconds: float, text: str) -> Step:
    """Let all users open all GPUs for some seconds; 0 ends it."""
    change = _Change(state, now)
    change.state = change.state.with_(open_until=change.now + max(0.0, seconds))
    change.events.append(Event(change.now, "opened" if seconds > 0 else "closed", "", 0, text))
    return change.done()


def access(state: State) -> dict[str, frozenset[str]]:
    """Return the users who may open each GPU."""
    return {gpu.uuid: frozenset(grant.user for grant in state.grants if gpu.uuid in grant.gpus) for gpu in state.gpus}


def is_open(state: State, now: float) -> bool:
    """Return whether all users may open all GPUs now."""
    return now < state.open_until


def _hold(state: State, order: Order, group: str) -> float:
    longest = state.policy.longest(group)
    _reject_time(order.seconds, longest)
    return longest if order.seconds is None else order.seconds


def _reject_time(seconds: float | None, longest: float) -> None:
    if seconds is None:
        return
    if not seconds > 0:
        raise Rejected(f"the time must be more than 0 seconds, not {seconds:g}.", 400)
    if seconds > longest:
        raise Rejected(f"the longest time is {longest / 3600:g} hours. Request less, and extend it later.", 400)


def _reject_impossible(state: State, gpus: int, whole: bool, group: str) -> None:
    if gpus < 1:
        raise Rejected(f"the number of GPUs must be at least 1, not {gpus}.", 400)
    if gpus > len(state.gpus):
        raise Rejected(f"this host has {len(state.gpus)} GPUs, fewer than the requested {gpus}.", 400)
    need = gpus * (state.policy.slots if whole else 1)
    limits = state.policy.limits(group)
    if limits.slots is not None and need > limits.slots:
        raise Rejected(f"this needs {need} slots, and each user of your group may hold {limits.slots}.", 400)
    if limits.total_slots is not None and need > limits.total_slots:
        raise Rejected(f"this needs {need} slots, and the group {group} may hold {limits.total_slots}.", 400)


def _joined(state: State, order: Order) -> Grant | Request | None:
    """Return the user's grant or request that covers an order."""
    for entry in state.entries():
        request = entry.request if isinstance(entry, Grant) else entry
        covers = len(entry.gpus) if isinstance(entry, Grant) else entry.gpus
        if request.user == order.user and request.shared and covers >= order.gpus and request.whole >= order.whole:
            return entry
    return None


def _join(change: _Change, entry: Grant | Request, door: str) -> Step:
    request = entry.request if isinstance(entry, Grant) else entry
    if door not in request.doors:
        _set_doors(change, entry, (*request.doors, door))
        change.add("joined", request, door)
    return change.done(request.id)


def _set_doors(change: _Change, entry: Grant | Request, doors: tuple[str, ...]) -> None:
    if isinstance(entry, Grant):
        change.replace_grant(replace(entry, request=replace(entry.request, doors=doors)))
    else:
        new = replace(entry, doors=doors)
        change.state = change.state.with_(
            requests=tuple(new if other.id == new.id else other for other in change.state.requests)
        )


def _drop_gpus(change: _Change) -> None:
    usable = {gpu.uuid for gpu in change.state.in_service()}
    for grant in change.state.grants:
        left = tuple(uuid for uuid in grant.gpus if uuid in usable)
        if not left:
            change.end(grant, "ended", f"{', '.join(grant.gpus)}: out of service")
        elif left != grant.gpus:
            change.replace_grant(replace(change.count(grant), gpus=left))
            change.add("reduced", grant.request, f"{', '.join(set(grant.gpus) - set(left))}: out of service")


def _cancel_impossible(change: _Change) -> None:
    check: Callable[[Request], None] = lambda waiting: _reject_impossible(  # noqa: E731
        change.state, waiting.gpus, waiting.whole, waiting.group
    )
    for waiting in change.state.requests:
        try:
            check(waiting)
        except Rejected as error:
            change.cancel(waiting, "cancelled", str(error))
