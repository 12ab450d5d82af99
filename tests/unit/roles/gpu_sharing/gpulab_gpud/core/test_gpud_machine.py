# SPDX-License-Identifier: GPL-3.0-or-later
"""Random sequences of requests, releases, losses, restarts and policy changes."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gpulab_gpud.core import broker, views
from gpulab_gpud.core.broker import Order, Step
from gpulab_gpud.core.model import HOUR, Gpu, Limits, Policy, Rejected, State, Usage
from gpulab_gpud.records import decode, encode
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

USERS = ("ada", "bob", "eve", "dan")
GROUPS = {"staff": Limits(priority=2, hold=2 * HOUR), "class": Limits(slots=2, total_slots=3, hold=HOUR / 2)}
MEMBERS: dict[str, tuple[str, ...]] = {"ada": ("staff",), "bob": ("class",), "eve": ("class",), "dan": ()}
UUIDS = tuple(f"GPU-{number}" for number in range(4))
policies = st.builds(
    lambda slots, confirmation, limited: Policy(
        "exclusive" if slots == 1 else "timeslice", slots, HOUR, confirmation, groups=GROUPS if limited else {}
    ),
    st.integers(1, 3),
    st.sampled_from([60.0, HOUR]),
    st.booleans(),
)


class Broker(RuleBasedStateMachine):
    """The core under everything that can happen to it."""

    @initialize(policy=policies, count=st.integers(1, 4))
    def begin(self, policy: Policy, count: int) -> None:
        """Start with some GPUs."""
        self.now = 0.0
        self.state = broker.set_gpus(State(policy=policy), 0, [Gpu(uuid) for uuid in UUIDS[:count]]).state
        self.events: Counter[str] = Counter()

    def take(self, step: Step) -> None:
        """Continue with a step, and count its events."""
        self.state = step.state
        self.events.update(event.kind for event in step.events)

    @rule(
        user=st.sampled_from(USERS),
        gpus=st.integers(0, 4),
        whole=st.booleans(),
        shared=st.booleans(),
        door=st.sampled_from(["hub", "ssh"]),
        seconds=st.sampled_from([None, -1.0, 60.0, HOUR / 2, 3 * HOUR]),
    )
    def request(self, user: str, gpus: int, whole: bool, shared: bool, door: str, seconds: float | None) -> None:
        """Request GPUs."""
        order = Order(user, MEMBERS[user], gpus, whole, seconds, door, shared)
        try:
            step = broker.request(self.state, self.now, order)
        except Rejected:
            return
        assert step.state.find(step.id) is not None
        self.take(step)

    @rule(number=st.integers(1, 30), door=st.sampled_from(["", "hub", "ssh"]))
    def release(self, number: int, door: str) -> None:
        """Release a grant or a request, or one that does not exist."""
        self.take(broker.release(self.state, self.now, number, door))
        if not door:
            assert self.state.find(number) is None

    @rule(user=st.sampled_from(USERS))
    def remove(self, user: str) -> None:
        """Remove a user."""
        self.take(broker.remove_users(self.state, self.now, [user], "removed"))
        assert user not in {entry.user for entry in self.state.entries()}

    @rule(number=st.integers(1, 30))
    def extend_or_confirm(self, number: int) -> None:
        """Extend a grant, or else take a turn."""
        try:
            self.take(broker.extend(self.state, self.now, number))
        except Rejected:
            self.take(broker.confirm(self.state, self.now, number))

    @rule(seconds=st.sampled_from([1.0, 59.0, HOUR / 3, HOUR, 30 * HOUR]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.take(broker.tick(self.state, self.now))

    @rule(seconds=st.sampled_from([1.0, HOUR, 1e6]))
    def clock_goes_back(self, seconds: float) -> None:
        """Let the clock go back, which neither extends nor ends a grant."""
        before = self.state
        self.take(broker.tick(self.state, self.now - seconds))
        assert self.state == before

    @rule(problems=st.lists(st.sampled_from(["", "", "lost"]), min_size=1, max_size=4))
    def gpus(self, problems: list[str]) -> None:
        """Lose, repair, add and remove GPUs."""
        gpus = [Gpu(uuid, problem) for uuid, problem in zip(UUIDS, problems, strict=False)]
        self.take(broker.set_gpus(self.state, self.now, gpus))

    @rule(policy=policies)
    def configure(self, policy: Policy) -> None:
        """Change the policy."""
        self.take(broker.configure(self.state, self.now, policy))

    @rule()
    def restart(self) -> None:
        """Restart, as after kill -9 or a reboot: the state is what was stored, and nothing is lost or added."""
        restored = decode(encode(self.state))
        assert restored == self.state
        self.state = broker.tick(restored, self.now).state

    @invariant()
    def no_gpu_has_more_grants_than_slots(self) -> None:
        """Never over-granted, and never on a GPU that is out of service."""
        for gpu in self.state.gpus:
            assert self.state.used(gpu.uuid) <= (0 if gpu.problem else self.state.policy.slots)
        known = {gpu.uuid for gpu in self.state.gpus}
        for grant in self.state.grants:
            assert grant.gpus
            assert set(grant.gpus) <= known
            assert len(set(grant.gpus)) == len(grant.gpus)

    @invariant()
    def nothing_leaks(self) -> None:
        """Check that a number is a grant, a waiting request, or over, and that every end has an event."""
        numbers = [entry.id for entry in self.state.entries()]
        assert len(set(numbers)) == len(numbers)
        assert all(number < self.state.next_id for number in numbers)
        over = sum(self.events[kind] for kind in ("released", "cancelled", "ended", "removed"))
        assert self.events["requested"] == len(numbers) + over

    @invariant()
    def no_slot_is_free_that_the_first_in_the_queue_could_have(self) -> None:
        """Check that a request that waits has a reason."""
        assert broker.tick(self.state, self.state.now).state == self.state
        for turn in views.turns(self.state, self.state.now).values():
            assert turn.reason

    def teardown(self) -> None:
        """Check that no request starves: once GPUs work and no more requests come, every one is granted."""
        if not hasattr(self, "state"):
            return
        state = broker.set_gpus(self.state, self.now, [Gpu(gpu.uuid) for gpu in self.state.gpus]).state
        waiting = {request.id for request in state.requests}
        granted: set[int] = set()
        for _ in range(100):
            if not state.requests:
                break
            self.now += HOUR
            step = broker.tick(state, self.now)
            granted |= {event.request for event in step.events if event.kind == "granted"}
            state = step.state
            # A user whose own grants use up the limit waits for them: all release what they held long enough.
            for grant in state.grants:
                if grant.until <= self.now:
                    step = broker.release(state, self.now, grant.id)
                    granted |= {event.request for event in step.events if event.kind == "granted"}
                    state = step.state
        assert waiting <= granted
        assert state.requests == ()


TestBroker: Any = Broker.TestCase
TestBroker.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


@settings(max_examples=6, deadline=None)
@given(size=st.integers(2, 4), whole=st.booleans(), pauses=st.lists(st.floats(HOUR / 6, HOUR), min_size=5, max_size=20))
def test_large_request_is_granted_although_small_ones_never_stop(size: int, whole: bool, pauses: list[float]) -> None:
    """No starvation under a steady stream of small requests, which would each fit at once."""
    state = State(
        policy=Policy("timeslice", slots=2, hold=HOUR),
        gpus=tuple(Gpu(uuid) for uuid in UUIDS),
        usage={"large": Usage(HOUR)},
    )
    now = 0.0
    for number in range(8):
        state = broker.request(state, now, Order(f"small{number}", shared=False)).state
    step = broker.request(state, now + 1, Order("large", gpus=size, whole=whole))
    state, large = step.state, step.id
    arrived = now + 1
    position = 0
    while any(request.id == large for request in state.requests):
        now += pauses[position % len(pauses)]
        position += 1
        # These users have used less than the large one, so fair share puts them first: only age helps.
        state = broker.request(state, now, Order(f"late{position}", shared=False)).state
        assert now - arrived < 26 * HOUR
