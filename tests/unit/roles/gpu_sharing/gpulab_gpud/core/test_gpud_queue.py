# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of GPUs: who gets which slot, in which order, for how long."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gpulab_gpud.core import broker, queue, views
from gpulab_gpud.core.broker import Order
from gpulab_gpud.core.model import DAY, HOUR, WEEK, Gpu, Grant, Limits, Policy, Rejected, State

TWO = (Gpu("GPU-0"), Gpu("GPU-1"))
EXCLUSIVE = State(policy=Policy(hold=HOUR), gpus=TWO)
SHARED = State(policy=Policy("timeslice", slots=2, hold=HOUR), gpus=TWO)


def requested(state: State, now: float, user: str, **options: object) -> State:
    """Return the state after a request of a user."""
    return broker.request(state, now, Order(user, **{"shared": False, **options})).state  # type: ignore[arg-type]


def holders(state: State) -> dict[str, list[str]]:
    """Return the users of each GPU, in the order of their grants."""
    return {gpu.uuid: [grant.user for grant in state.grants if gpu.uuid in grant.gpus] for gpu in state.gpus}


def test_free_slot_is_granted_at_once() -> None:
    """And to a user who is there: nothing has to be confirmed."""
    state = requested(EXCLUSIVE, 1, "ada")
    assert state.requests == ()
    assert state.grants[0].confirmed
    assert state.grants[0].until == 1 + HOUR


def test_shared_gpus_are_filled_evenly() -> None:
    """The least loaded GPU is first."""
    state = SHARED
    for user in ("ada", "bob", "eve", "dan"):
        state = requested(state, 0, user)
    assert holders(state) == {"GPU-0": ["ada", "eve"], "GPU-1": ["bob", "dan"]}


def test_user_gets_the_gpu_of_the_last_time() -> None:
    """Where it is loaded as little as the others: its files may still be in caches."""
    state = requested(requested(EXCLUSIVE, 0, "ada"), 0, "bob")
    state = broker.release(broker.release(state, 1, 1).state, 1, 2).state
    assert holders(requested(state, 2, "bob"))["GPU-1"] == ["bob"]


def test_grant_goes_on_after_its_time_while_no_request_waits() -> None:
    """An idle GPU helps nobody."""
    state = broker.tick(requested(EXCLUSIVE, 0, "ada", gpus=2), 10 * HOUR).state
    assert len(state.grants) == 1


def test_grant_ends_after_its_time_when_a_request_waits() -> None:
    """Not before."""
    state = requested(requested(EXCLUSIVE, 0, "ada", gpus=2), 1, "bob")
    assert holders(broker.tick(state, HOUR - 1).state)["GPU-0"] == ["ada"]
    step = broker.tick(state, HOUR)
    assert holders(step.state) == {"GPU-0": ["bob"], "GPU-1": []}
    assert [event.kind for event in step.events] == ["ended", "granted"]


def test_turn_that_is_not_taken_goes_to_the_next() -> None:
    """After the confirmation time, which does not end the turn of a user who took it."""
    state = State(policy=Policy(hold=HOUR, confirmation=60), gpus=TWO[:1])
    state = requested(requested(requested(state, 0, "ada"), 1, "bob"), 2, "eve")
    state = broker.release(state, 10, 1).state
    assert holders(broker.tick(state, 71).state)["GPU-0"] == ["eve"]
    taken = broker.confirm(state, 20, 2).state
    assert holders(broker.tick(taken, 71).state)["GPU-0"] == ["bob"]


def test_turn_that_is_not_taken_stays_while_no_request_waits() -> None:
    """Nothing is gained by its end."""
    state = requested(requested(State(policy=Policy(confirmation=60), gpus=TWO[:1]), 0, "ada"), 1, "bob")
    state = broker.release(state, 2, 1).state
    assert holders(broker.tick(state, 1000).state)["GPU-0"] == ["bob"]


def test_priority_of_the_group_is_first() -> None:
    """Then fair share, then arrival."""
    policy = Policy(hold=HOUR, groups={"staff": Limits(priority=1)})
    state = requested(State(policy=policy, gpus=TWO[:1]), 0, "ada")
    state = requested(requested(state, 1, "bob"), 2, "eve", groups=("staff", "users"))
    assert [request.user for request in queue.ordered(state, 3)] == ["eve", "bob"]


def test_fair_share_is_before_arrival() -> None:
    """The user who has used less is first."""
    state = broker.release(requested(EXCLUSIVE, 0, "ada"), 1000, 1).state
    state = requested(state, 2000, "eve", gpus=2)
    state = requested(requested(state, 2001, "ada"), 2002, "bob")
    assert [request.user for request in queue.ordered(state, 2003)] == ["bob", "ada"]


def test_used_time_counts_half_after_a_week() -> None:
    """The share of a user who paused recovers."""
    state = broker.release(requested(EXCLUSIVE, 0, "ada"), 1000, 1).state
    assert state.used_seconds("ada", 1000) == pytest.approx(1000)
    assert state.used_seconds("ada", 1000 + WEEK) == pytest.approx(500)


def test_a_slot_of_a_shared_gpu_counts_as_its_share() -> None:
    """Half a GPU for two hours is one hour."""
    state = broker.release(requested(SHARED, 0, "ada"), 2 * HOUR, 1).state
    assert state.used_seconds("ada", 2 * HOUR) == pytest.approx(HOUR)


def test_old_request_passes_later_ones_of_a_higher_priority() -> None:
    """Each day of waiting is a level: a group of high priority cannot keep others out for ever."""
    policy = Policy(hold=HOUR, groups={"staff": Limits(priority=2)})
    state = requested(requested(State(policy=policy, gpus=TWO[:1]), 0, "ada"), 1, "bob")
    state = requested(state, 1 + 3 * DAY, "eve", groups=("staff",))
    assert holders(state)["GPU-0"] == ["bob"]


def test_request_for_many_gpus_is_not_passed_for_ever() -> None:
    """Later small requests get no slot that it needs, although that slot is free meanwhile."""
    state = requested(requested(EXCLUSIVE, 0, "ada"), 0, "bob")
    state = requested(state, 1, "eve", gpus=2)
    state = broker.release(state, 10, 1).state
    state = requested(state, 11, "dan")
    assert holders(state) == {"GPU-0": [], "GPU-1": ["bob"]}
    state = broker.release(state, 20, 2).state
    assert holders(state) == {"GPU-0": ["eve"], "GPU-1": ["eve"]}


def test_grant_is_not_ended_before_all_gpus_of_a_request_can_be_had() -> None:
    """Grants whose time is over go on until then, so that no GPU stands idle."""
    state = requested(requested(EXCLUSIVE, 0, "ada"), HOUR / 2, "bob")
    state = broker.tick(requested(state, HOUR / 2, "eve", gpus=2), HOUR).state
    assert holders(state) == {"GPU-0": ["ada"], "GPU-1": ["bob"]}
    state = broker.tick(state, 1.5 * HOUR).state
    assert holders(state) == {"GPU-0": ["eve"], "GPU-1": ["eve"]}


def test_whole_gpu_is_free_of_others() -> None:
    """A whole GPU takes all slots, and no slot of it is given away while it is collected."""
    state = requested(requested(SHARED, 0, "ada"), 0, "bob")
    state = requested(state, 1, "eve", whole=True)
    assert holders(requested(state, 2, "dan"))["GPU-1"] == ["bob", "dan"], "the other GPU is not kept"
    state = broker.release(state, 3, 1).state
    assert holders(state)["GPU-0"] == ["eve"]


def test_own_grant_whose_time_is_over_does_not_block_the_queue() -> None:
    """A user's own second request must not wait for the first grant for ever, nor all users behind it."""
    state = requested(requested(State(policy=Policy(hold=HOUR), gpus=TWO[:1]), 0, "ada"), 1, "ada")
    state = requested(state, 2, "bob")
    for hour in range(1, 4):
        state = broker.tick(state, hour * HOUR + 10).state
    assert state.requests == ()


def test_limits_of_a_user_hold_and_hold_up_no_other_user() -> None:
    """A request beyond the user's slots waits for the user's own."""
    policy = Policy(hold=HOUR, groups={"users": Limits(slots=1)})
    state = State(policy=policy, gpus=TWO)
    state = requested(requested(state, 0, "ada", groups=("users",)), 1, "ada", groups=("users",))
    assert views.turns(state, 1)[2].reason == "you hold 1 of your 1 slots"
    assert holders(requested(state, 2, "bob", groups=("users",))) == {"GPU-0": ["ada"], "GPU-1": ["bob"]}


def test_limit_of_a_group_ends_grants_of_the_group_only() -> None:
    """Whose time is over; other groups go on."""
    policy = Policy(hold=HOUR, groups={"class": Limits(total_slots=1)})
    state = State(policy=policy, gpus=TWO)
    state = requested(requested(state, 0, "bob"), 0, "ada", groups=("class",))
    state = requested(state, 1, "eve", groups=("class",))
    assert "class holds its 1 slots" in views.turns(state, 1)[3].reason
    state = broker.tick(state, HOUR).state
    assert holders(state) == {"GPU-0": ["bob"], "GPU-1": ["eve"]}


def test_request_for_more_slots_of_a_group_is_not_passed_by_smaller_ones_of_the_group() -> None:
    """The limit of the group is collected, too."""
    policy = Policy(hold=HOUR, groups={"class": Limits(total_slots=2)})
    state = State(policy=policy, gpus=(*TWO, Gpu("GPU-2")))
    state = requested(requested(state, 0, "ada", groups=("class",)), 0, "bob", groups=("class",))
    state = requested(state, 1, "eve", groups=("class",), gpus=2)
    state = requested(broker.release(state, 2, 1).state, 3, "dan", groups=("class",))
    assert [grant.user for grant in state.grants] == ["bob"]
    assert [grant.user for grant in broker.release(state, 4, 2).state.grants] == ["eve"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpus": 0}, "at least 1"),
        ({"gpus": 3}, "this host has 2 GPUs"),
        ({"seconds": -1.0}, "more than 0 seconds"),
        ({"seconds": float("nan")}, "more than 0 seconds"),
        ({"seconds": 2 * HOUR}, "longest time is 1 hours"),
        ({"gpus": 2, "groups": ("few",)}, "each user of your group may hold 1"),
        ({"gpus": 2, "groups": ("together",)}, "the group together may hold 1"),
    ],
)
def test_request_that_can_never_be_granted_is_rejected(options: dict[str, object], message: str) -> None:
    """With the limit in the message."""
    groups = {"few": Limits(slots=1), "together": Limits(total_slots=1)}
    state = EXCLUSIVE.with_(policy=replace(EXCLUSIVE.policy, groups=groups))
    with pytest.raises(Rejected, match=message):
        requested(state, 0, "ada", **options)


def test_user_has_a_limited_number_of_waiting_requests() -> None:
    """A loop cannot fill the queue."""
    state = requested(EXCLUSIVE, 0, "ada", gpus=2)
    for _ in range(20):
        state = requested(state, 1, "bob")
    with pytest.raises(Rejected, match="20 waiting requests"):
        requested(state, 1, "bob")


def test_doors_of_one_user_share_a_grant() -> None:
    """It ends when the last of them releases it."""
    state = broker.request(EXCLUSIVE, 0, Order("ada", door="hub")).state
    step = broker.request(state, 1, Order("ada", door="ssh"))
    assert (step.id, len(step.state.grants)) == (1, 1)
    state = broker.release_door(step.state, 2, "ada", "hub").state
    assert state.grants[0].request.doors == ("ssh",)
    assert broker.release_door(state, 3, "ada", "ssh").state.grants == ()


def test_extension_is_rejected_while_other_users_wait() -> None:
    """And goes no further than the longest time from now."""
    state = requested(EXCLUSIVE, 0, "ada", gpus=2)
    later = broker.extend(state, HOUR / 2, 1).state
    assert later.grants[0].until == 1.5 * HOUR
    with pytest.raises(Rejected, match="bob wait"):
        broker.extend(requested(state, 1, "bob"), 2, 1)
    with pytest.raises(Rejected, match="longest time"):
        broker.extend(state, 2, 1, 2 * HOUR)
    with pytest.raises(Rejected, match="not a grant"):
        broker.extend(state, 2, 7)


def test_lost_gpu_ends_its_grants_and_no_other() -> None:
    """Work on the other GPUs goes on, and no request is granted a GPU that is out of service."""
    state = requested(requested(EXCLUSIVE, 0, "ada"), 0, "bob")
    step = broker.set_gpus(state, 1, (Gpu("GPU-0", "lost"), Gpu("GPU-1")))
    assert holders(step.state) == {"GPU-0": [], "GPU-1": ["bob"]}
    assert [event.kind for event in step.events] == ["gpu", "ended"]
    state = requested(step.state, 2, "eve")
    assert holders(state)["GPU-0"] == []
    assert holders(broker.set_gpus(state, 3, TWO).state)["GPU-0"] == ["eve"]


def test_grant_of_several_gpus_goes_on_with_the_others() -> None:
    """When one of them is lost."""
    state = broker.set_gpus(requested(EXCLUSIVE, 0, "ada", gpus=2), 1, (Gpu("GPU-0", "lost"), Gpu("GPU-1"))).state
    assert holders(state) == {"GPU-0": [], "GPU-1": ["ada"]}


def test_request_for_more_gpus_than_are_in_service_holds_up_no_other() -> None:
    """It waits for the repair; others use what there is."""
    state = broker.set_gpus(EXCLUSIVE, 0, (Gpu("GPU-0", "lost"), Gpu("GPU-1"))).state
    state = requested(requested(state, 1, "ada", gpus=2), 2, "bob")
    assert holders(state)["GPU-1"] == ["bob"]
    assert views.turns(state, 2)[1].reason == "1 of 2 GPUs are out of service"


def test_fewer_slots_keep_the_oldest_grants() -> None:
    """No GPU has more grants than slots afterwards."""
    state = SHARED
    for now, user in enumerate(("ada", "bob", "eve")):
        state = requested(state, now, user)
    step = broker.configure(state, 10, Policy("exclusive", hold=HOUR))
    assert holders(step.state) == {"GPU-0": ["ada"], "GPU-1": ["bob"]}
    assert "slots was changed" in step.events[-1].text


def test_more_slots_keep_all_grants() -> None:
    """And waiting requests get the new slots; times and used seconds stay."""
    state = requested(requested(EXCLUSIVE, 0, "ada", gpus=2), 1, "bob")
    state = broker.configure(state, 10, Policy("timeslice", slots=2, hold=HOUR)).state
    assert holders(state) == {"GPU-0": ["ada", "bob"], "GPU-1": ["ada"]}
    assert state.used_seconds("ada", 10) == pytest.approx(20, rel=0.01)
    grant = state.find(1)
    assert isinstance(grant, Grant)
    assert grant.since == 0


def test_request_that_became_impossible_is_cancelled() -> None:
    """With the reason in the audit log."""
    state = requested(requested(EXCLUSIVE, 0, "ada", gpus=2), 1, "bob", gpus=2)
    step = broker.set_gpus(state, 2, TWO[:1])
    assert step.state.requests == ()
    assert "this host has 1 GPUs" in step.events[-1].text


def test_removed_user_loses_all() -> None:
    """Grants and waiting requests alike; the next user is granted in the same step."""
    state = requested(requested(requested(EXCLUSIVE, 0, "ada", gpus=2), 1, "ada"), 2, "bob")
    state = broker.remove_users(state, 3, ["ada"], "is not a user any more").state
    assert holders(state) == {"GPU-0": ["bob"], "GPU-1": []}
    assert state.requests == ()


def test_clock_that_goes_back_changes_nothing() -> None:
    """Neither a grant nor its time."""
    state = requested(EXCLUSIVE, 1000, "ada")
    assert broker.tick(state, 0).state == state
    assert broker.release(state, 0, 1).state.used_seconds("ada", 1000) == 0


def test_waiting_request_shows_position_reason_and_start() -> None:
    """The estimate assumes that every user takes the whole time."""
    state = requested(requested(State(policy=Policy(hold=HOUR), gpus=TWO[:1]), 0, "ada"), 1, "bob")
    state = requested(state, 2, "eve")
    turns = views.turns(state, 2)
    assert (turns[2].position, turns[2].reason, turns[2].starts_at) == (1, "held by ada", HOUR)
    assert (turns[3].position, turns[3].starts_at) == (2, 2 * HOUR)


def test_open_all_ends_by_itself() -> None:
    """The emergency exit is open for a time."""
    state = broker.open_all(EXCLUSIVE, 10, 60, "root").state
    assert broker.is_open(state, 69)
    assert not broker.is_open(state, 70)
    assert not broker.is_open(broker.open_all(state, 20, 0, "root").state, 20)
