# SPDX-License-Identifier: GPL-3.0-or-later
"""Random actions of two hostile users in random order do not affect other users.

The actions are in primitives.py and machine.py. A sequence that fails is printed and written to
build/hostile/failed.py; `--replay` runs it again.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.hostile_users.actors import Victim
from tests.integration.hostile_users.machine import HostileUsers
from tests.integration.hostile_users.reporting import Harm
from tests.integration.hostile_users.world import World


@pytest.fixture(scope="module", autouse=True)
def users(world: World) -> Iterator[None]:
    """Let the victim work while the tests run."""
    HostileUsers.world, HostileUsers.victim = world, Victim(world)
    yield
    HostileUsers.victim.close()


@pytest.fixture
def state() -> Iterator[HostileUsers]:
    """Return the state machine before any action."""
    machine = HostileUsers()
    yield machine
    machine.teardown()


NOTICED = {
    "chmod 777 /root/hostile": "/root/hostile",
    "chown mallory /home/victor/canary/open": "canary/open",
    "echo more >> /root/hostile/closed": "hostile/closed",
    "touch /home/victor/canary/missing": "canary/missing",
    "systemctl restart ssh": "units that have changed",
    "setpriv --reuid mallory sleep 20 >/dev/null 2>&1 & sleep 0.5": "outside of their slices",
    "head -c 1G /dev/zero > /dev/shm/filler; true": "No space left|Bus error|KernelDied",
    "systemctl stop gpulab-server@$(id -u victor)": "units that have changed",
    "cat > /home/mallory/received; chown mallory /home/mallory/received": "secrets of others",
}
"""Commands of root, and the message of the invariant that notices them."""


@pytest.mark.parametrize(("command", "message"), NOTICED.items())
def test_invariants_notice_harm(state: HostileUsers, world: World, command: str, message: str) -> None:
    """Each kind of harm, done by root, is noticed."""
    try:
        world.root("sh", "-c", command, text=world.secret)
        with pytest.raises(Harm, match=message):
            state.others_notice_nothing()
    finally:
        world.root("rm", "-f", "/dev/shm/filler", "/home/victor/canary/missing")
        world.root("chmod", "755", "/root/hostile")


def test_secret_that_is_printed_is_noticed(state: HostileUsers, world: World) -> None:
    """Actions of a user who has left are noticed too."""
    with pytest.raises(AssertionError, match="mallory has read"):
        state.check_shown("mallory", f"... {world.secret} ...")
    state.gone = ["mallory"]
    with pytest.raises(AssertionError, match="has left and still acts"):
        state.check_shown("mallory", "anything")
    state.gone = []


def test_random_actions_harm_no_other_user(request: pytest.FixtureRequest) -> None:
    """The sequence that fails, if one does, is printed."""
    option = request.config.getoption
    limits = settings(
        max_examples=option("--examples"),
        stateful_step_count=option("--steps"),
        phases=[Phase.generate],
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(HostileUsers, settings=limits)


def test_sequence_is_replayed(request: pytest.FixtureRequest, state: HostileUsers) -> None:
    """A sequence that has failed runs again."""
    if not (path := request.config.getoption("--replay")):
        pytest.skip("no sequence is given (--replay)")
    for line in path.read_text(encoding="utf-8").splitlines():
        exec(line, {"state": state})  # noqa: S102
        state.others_notice_nothing()
        state.others_log_in()
