# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of the broker: GPUs, requests, grants and the policy between them. All times are seconds of one clock."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

HOUR = 3600.0
DAY = 24 * HOUR
WEEK = 7 * DAY
HALF_LIFE = WEEK
"""After this time, used GPU time counts half in the fair share."""
AGEING = DAY
"""A request gains one level of priority each time it has waited for so long: none waits for ever."""
MOST_WAITING = 20
"""Number of waiting requests of one user."""
LONGEST_NOTE = 200
"""Characters of a note."""


class Rejected(Exception):
    """A request that is not possible. The message is for the user; `status` is that of the HTTP response."""

    def __init__(self, message: str, status: int = 409) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Gpu:
    """A GPU, or an instance of one that is partitioned with MIG. `problem` is why it is out of service, or empty."""

    uuid: str
    problem: str = ""


@dataclass(frozen=True)
class Limits:
    """Limits and priority of the users of one group. None is no limit."""

    priority: int = 0
    slots: int | None = None
    """Slots that each user may hold at a time."""
    total_slots: int | None = None
    """Slots that all users of the group may hold together."""
    hold: float | None = None
    """Longest time of a grant, in seconds."""


@dataclass(frozen=True)
class Policy:
    """How GPUs are shared. With one slot for each GPU, a user holds whole GPUs (exclusive)."""

    name: str = "exclusive"
    slots: int = 1
    """Slots of each GPU."""
    hold: float = 8 * HOUR
    """Longest time of a grant, in seconds, where the group has none of its own."""
    confirmation: float = 900.0
    """Time in which a turn must be taken, in seconds, when others wait."""
    default: Limits = Limits()
    """Limits of users without a group of `groups`."""
    groups: Mapping[str, Limits] = field(default_factory=dict)

    def limits(self, group: str) -> Limits:
        """Return the limits of a group."""
        return self.groups.get(group, self.default)

    def longest(self, group: str) -> float:
        """Return the longest time of a grant for users of a group."""
        hold = self.limits(group).hold
        return self.hold if hold is None else hold

    def group_of(self, groups: Iterable[str]) -> str:
        """Return the one of a user's groups whose limits hold: that of the highest priority, empty without one."""
        listed = sorted(set(groups) & set(self.groups))
        return max(listed, key=lambda name: self.groups[name].priority, default="")


@dataclass(frozen=True)
class Process:
    """A process whose end releases the request. `started` tells it from a later process with the same number."""

    pid: int
    started: int


@dataclass(frozen=True)
class Request:
    """A user's request for GPUs. `doors` are the ways in which they are used, such as hub and ssh."""

    id: int
    user: str
    group: str
    gpus: int
    whole: bool
    hold: float
    arrived: float
    doors: tuple[str, ...]
    shared: bool = True
    """Whether other doors of the same user may join it."""
    note: str = ""
    process: Process | None = None


@dataclass(frozen=True)
class Grant:
    """A request whose user may open some GPUs: one slot, or the whole GPU, of each."""

    request: Request
    gpus: tuple[str, ...]
    since: float
    hold_until: float
    confirm_until: float
    confirmed: bool
    counted_from: float
    """Time from which its GPU time is not in the user's usage yet."""

    @property
    def id(self) -> int:
        """Return the number, which is that of the request."""
        return self.request.id

    @property
    def user(self) -> str:
        """Return the user who holds it."""
        return self.request.user

    @property
    def until(self) -> float:
        """Return when it may end: it does when a request waits for its slots then."""
        return self.hold_until if self.confirmed else min(self.hold_until, self.confirm_until)


@dataclass(frozen=True)
class Usage:
    """GPU time of a user in seconds, as it counts at the time `at`, and the GPU that the user had last."""

    seconds: float = 0.0
    at: float = 0.0
    last: str = ""

    def value(self, now: float) -> float:
        """Return the GPU seconds as they count now."""
        return self.seconds * math.exp2(-max(0.0, now - self.at) / HALF_LIFE)


@dataclass(frozen=True)
class Event:
    """Something that happened, for the audit log and for messages to users."""

    at: float
    kind: str
    user: str
    request: int
    text: str


@dataclass(frozen=True)
class State:
    """All that the broker knows. Functions of `gpulab_gpud.core` return a new state."""

    policy: Policy = field(default_factory=Policy)
    gpus: tuple[Gpu, ...] = ()
    requests: tuple[Request, ...] = ()
    grants: tuple[Grant, ...] = ()
    usage: Mapping[str, Usage] = field(default_factory=dict)
    next_id: int = 1
    now: float = 0.0
    open_until: float = 0.0
    """Until when all users may open all GPUs (emergency)."""

    def width(self, request: Request) -> int:
        """Return the slots that a request needs on each of its GPUs."""
        return self.policy.slots if request.whole else 1

    def used(self, uuid: str, without: Iterable[int] = ()) -> int:
        """Return the slots of a GPU that are held, without some grants."""
        left_out = set(without)
        return sum(
            self.width(grant.request) for grant in self.grants if uuid in grant.gpus and grant.id not in left_out
        )

    def slots_of(self, *, user: str = "", group: str = "") -> int:
        """Return the slots that a user, or all users of a group, hold."""
        return sum(
            self.width(grant.request) * len(grant.gpus)
            for grant in self.grants
            if (user and grant.user == user) or (group and grant.request.group == group)
        )

    def in_service(self) -> list[Gpu]:
        """Return the GPUs that can be used."""
        return [gpu for gpu in self.gpus if not gpu.problem]

    def used_seconds(self, user: str, now: float) -> float:
        """Return the GPU time of a user as it counts now, in seconds of whole GPUs, with that of current grants."""
        return self.usage.get(user, Usage()).value(now) + self.current_seconds(now).get(user, 0.0)

    def current_seconds(self, now: float) -> dict[str, float]:
        """Return the GPU time by user that is not in the usage yet."""
        result: dict[str, float] = {}
        for grant in self.grants:
            share = len(grant.gpus) * self.width(grant.request) / self.policy.slots
            result[grant.user] = result.get(grant.user, 0.0) + (now - grant.counted_from) * share
        return result

    def entries(self) -> list[Grant | Request]:
        """Return all grants, then all waiting requests."""
        return [*self.grants, *self.requests]

    def find(self, number: int) -> Request | Grant | None:
        """Return the grant or the waiting request with a number."""
        return next((entry for entry in self.entries() if entry.id == number), None)

    def with_(self, **changes: object) -> State:
        """Return the state with some values changed."""
        return replace(self, **changes)  # type: ignore[arg-type]
