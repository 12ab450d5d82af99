# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits and queue of password checks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from gpulab_hub import logins, passwords
from gpulab_hub.clients import Source
from gpulab_hub.logins import Limits, LoginGate, TooManyLogins
from gpulab_hub.passwords import Verdict

WORD = "a-secret-word"
ATTACKER, HOME = Source("198.51.100.7"), Source("192.0.2.1")


class Clock:
    """A clock that moves when something sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        self.now += seconds


def gate_of(answers: dict[str, tuple[Verdict, float]], clock: Clock) -> LoginGate:
    """Return a gate with delayed answers; unlisted names are wrong at once."""

    async def check(name: str, _password: str) -> Verdict:
        verdict, seconds = answers.get(name, (Verdict("wrong"), 0.0))
        clock.now += seconds
        return verdict

    return LoginGate(check, clock=clock, sleep=clock.sleep)


@pytest.mark.parametrize(
    ("name", "password", "expected"),
    [
        ("ada", WORD, 2.0),
        ("ghost", WORD, 2.0),
        ("slow", WORD, 4.0),
        ("", WORD, 2.0),
        ("ada", "", 2.0),
        ("ada", "x" * 512, 2.0),
        ("a" * 129, WORD, 2.0),
        ("a\nb", WORD, 2.0),
        ("ada", "a\x00b", 2.0),
        (None, WORD, 2.0),
        ("ada", ["list"], 2.0),
        ("old", WORD, 2.0),
        ("good", WORD, 0.5),
    ],
)
def test_failed_logins_take_the_same_time(name: object, password: object, expected: float) -> None:
    """A failed check is answered at the next multiple of the step, a successful one at once."""
    clock = Clock()
    gate = gate_of(
        {
            "ada": (Verdict("wrong"), 0.9),
            "slow": (Verdict("wrong"), 2.5),
            "old": (Verdict("expired", "r"), 0.4),
            "good": (Verdict("ok"), 0.5),
        },
        clock,
    )
    asyncio.run(gate.log_in(name, password))
    assert clock.now - 100 == pytest.approx(expected)
    assert gate.in_flight == 0


def test_input_that_cannot_be_right_is_not_checked() -> None:
    """Overlong, empty and control characters never reach the helper."""
    bad: list[tuple[object, object]] = [("a", ""), ("", "b"), ("a", "b\tc"), ("a\x7f", "b"), ("a", "ä" * 256), (7, "b")]
    assert not [login for login in bad if passwords.acceptable(*login)]
    assert passwords.acceptable("jürgen", "ä " * 100)
    called, clock = [], Clock()

    async def check(name: str, _password: str) -> Verdict:
        called.append(name)
        return Verdict("ok")

    gate = LoginGate(check, clock=clock, sleep=clock.sleep)
    for login in bad:
        assert asyncio.run(gate.log_in(*login)) == Verdict("wrong")
    assert called == []


def attempts(gate: LoginGate, number: int, source: Source, name: str = "ada") -> int:
    """Try to log in some times; return how many were not checked."""
    rejected = 0
    for _ in range(number):
        try:
            asyncio.run(gate.log_in(name, "wrong", source))
        except TooManyLogins as error:
            rejected += error.limited and f"{error.seconds} seconds" in str(error)
    return rejected


def test_wrong_passwords_of_a_client_for_a_name_are_limited() -> None:
    """Five at once, then one more per minute; other clients and other names are not affected."""
    clock = Clock()
    gate = gate_of({"grace": (Verdict("ok"), 0.0)}, clock)
    assert attempts(gate, 9, ATTACKER) == 4
    assert attempts(gate, 1, HOME) == 0
    assert asyncio.run(gate.log_in("grace", WORD, ATTACKER)).result == "ok"
    with pytest.raises(TooManyLogins, match=r"for this name from your address: try again in 4\d seconds"):
        asyncio.run(gate.log_in("ada", WORD, ATTACKER))
    clock.now += 61
    assert attempts(gate, 2, ATTACKER) == 1


def test_wrong_passwords_of_a_client_for_many_names_are_limited() -> None:
    """Changing the name does not avoid the limit."""
    gate = gate_of({}, Clock())
    rejected = sum(attempts(gate, 1, ATTACKER, f"name-{number}") for number in range(100))
    # Two seconds for each: the count goes down by one in 10 s.
    assert 45 <= rejected <= 60
    assert attempts(gate, 1, HOME) == 0


def test_right_passwords_are_not_counted() -> None:
    """A class behind one address, and passwords that have expired."""
    gate = gate_of({"ada": (Verdict("ok"), 0.0), "old": (Verdict("expired", "r"), 0.0)}, Clock())
    assert attempts(gate, 200, HOME) + attempts(gate, 200, HOME, "old") == 0
    assert not gate.clients.counts


def test_allowed_addresses_are_not_limited() -> None:
    """A lab behind NAT; the IPv4 address that an IPv6 socket shows is the same one."""
    gate = gate_of({}, Clock())
    gate.allowed = LoginGate(gate.check, Limits(allowed=["192.0.2.0/24", "2001:db8::/32"])).allowed
    for address in ("192.0.2.9", "::ffff:192.0.2.9", "2001:db8:1::1"):
        assert attempts(gate, 60, Source(address)) == 0
    assert attempts(gate, 60, ATTACKER) > 0
    with pytest.raises(ValueError, match="lab"):
        LoginGate(gate.check, Limits(allowed=["lab"]))


def test_known_browser_is_not_locked_by_its_neighbours() -> None:
    """Wrong passwords from an address block it for others, but not for a browser that has logged in before."""
    gate = gate_of({"ada": (Verdict("ok"), 0.0)}, Clock())
    gate.names.add((HOME.client, "ada"), 5)
    gate.clients.add(HOME.client, 40)
    with pytest.raises(TooManyLogins):
        asyncio.run(gate.log_in("ada", WORD, HOME))
    assert asyncio.run(gate.log_in("ada", WORD, Source(HOME.address, "1234"))).result == "ok"
    assert attempts(gate_of({}, Clock()), 9, Source(HOME.address, "1234")) == 4


def test_checks_at_the_same_time_do_not_pass_the_limit_together() -> None:
    """Checks count from their start."""

    async def scenario() -> int:
        called = 0

        async def check(_name: str, _password: str) -> Verdict:
            nonlocal called
            called += 1
            await asyncio.sleep(0.01)
            return Verdict("wrong")

        gate = LoginGate(check, step=0.01)
        await asyncio.gather(*(gate.log_in("ada", "wrong", ATTACKER) for _ in range(30)), return_exceptions=True)
        return called

    assert asyncio.run(scenario()) == 5


def test_check_that_fails_counts_nothing_and_frees_its_place() -> None:
    """Users are not locked out while the helper is down."""

    async def check(_name: str, _password: str) -> Verdict:
        raise passwords.HelperUnavailable("down")

    clock = Clock()
    gate = LoginGate(check, clock=clock, sleep=clock.sleep)
    for _ in range(20):
        with pytest.raises(passwords.HelperUnavailable):
            asyncio.run(gate.log_in("ada", WORD, HOME))
    assert (gate.in_flight, len(gate.names.counts)) == (0, 0)


def slow_gate(seconds: float, **limits: Any) -> tuple[LoginGate, list[str], list[int]]:
    """Give a gate whose checks take real time: "ada" is right; and the names in order, and the checks in flight."""
    order: list[str] = []
    most = [0]

    async def check(name: str, _password: str) -> Verdict:
        order.append(name)
        most[0] = max(most[0], gate.in_flight)
        await asyncio.sleep(seconds)
        return Verdict("ok" if name.startswith("ada") else "wrong")

    gate = LoginGate(check, Limits(**limits), step=0.01)
    return gate, order, most


def during_flood(
    scenario: Callable[[LoginGate, list[str]], Coroutine[Any, Any, Any]], sources: list[Source]
) -> tuple[Any, int]:
    """Run a scenario while 60 wrong logins come from some sources; return its result and the most checks in flight."""

    async def run() -> tuple[Any, int]:
        gate, order, most = slow_gate(0.02)
        flood = [
            asyncio.create_task(gate.log_in(f"x{number}", "wrong", sources[number % len(sources)]))
            for number in range(60)
        ]
        await asyncio.sleep(0.01)
        result = await scenario(gate, order)
        await asyncio.gather(*flood, return_exceptions=True)
        assert (gate.in_flight, gate.waiting) == (0, [])
        return result, most[0]

    return asyncio.run(run())


@pytest.mark.parametrize("source", [HOME, Source("127.0.7.7")], ids=["elsewhere", "same network"])
@pytest.mark.parametrize("addresses", [1, 50])
def test_right_login_overtakes_a_flood(addresses: int, source: Source) -> None:
    """Clients with wrong passwords are served last and leave places free, also before their first answer."""

    async def scenario(gate: LoginGate, order: list[str]) -> int:
        before = len(order)
        assert (await gate.log_in("ada", WORD, source)).result == "ok"
        return order.index("ada") - before

    waited, most = during_flood(scenario, [Source(f"127.0.0.{number}") for number in range(1, addresses + 1)])
    assert waited <= 1
    assert most <= 8


def test_class_behind_one_address_gets_in() -> None:
    """Forty right logins in the same moment, none is rejected."""

    async def scenario() -> int:
        gate, order, most = slow_gate(0.01)
        # Some have mistyped theirs.
        gate.clients.add(HOME.client, 4)
        gate.networks.add(HOME.neighbourhood, 4)
        results = await asyncio.gather(*(gate.log_in(f"ada{number}", WORD, HOME) for number in range(40)))
        assert order == [f"ada{number}" for number in range(40)]
        assert {verdict.result for verdict in results} == {"ok"}
        return most[0]

    # Half of the places stay free for others.
    assert asyncio.run(scenario()) == 4


def test_wait_for_a_check_is_bounded() -> None:
    """By time; and where too many wait, logins of the client with most wrong passwords are rejected first."""

    async def scenario() -> list[Any]:
        gate, _, _ = slow_gate(0.3, in_flight=1, patience=0.1)
        results = await asyncio.gather(*(gate.log_in("ada", WORD, HOME) for _ in range(3)), return_exceptions=True)
        assert (gate.in_flight, gate.waiting) == (0, [])
        return list(results)

    results = asyncio.run(scenario())
    assert [str(result) for result in results[1:]] == [logins.BUSY] * 2
    assert not any(error.limited for error in results[1:])


def test_queue_drops_those_with_most_wrong_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full queue does not keep out who comes last."""
    monkeypatch.setattr(logins, "WAITING", 10)
    monkeypatch.setattr(logins, "SUSPECTS_WAITING", 10)

    async def scenario() -> list[Any]:
        gate, _, _ = slow_gate(0.02, in_flight=1, suspects=1)
        gate.clients.add(ATTACKER.client, 3)
        flood = [asyncio.create_task(gate.log_in(f"x{number}", "wrong", ATTACKER)) for number in range(12)]
        await asyncio.sleep(0)
        assert (await gate.log_in("ada", WORD, HOME)).result == "ok"
        return list(await asyncio.gather(*flood, return_exceptions=True))

    results = asyncio.run(scenario())
    assert sum(str(result) == logins.BUSY for result in results) == 2


def test_flood_of_a_client_does_not_wait() -> None:
    """Only two of its logins wait; the others are rejected without work."""

    async def scenario() -> list[Any]:
        gate, _, _ = slow_gate(0.05, suspects=1)
        gate.clients.add(ATTACKER.client, logins.SUSPECT + 1)
        logins_now = (gate.log_in(f"x{number}", "wrong", ATTACKER) for number in range(20))
        return list(await asyncio.gather(*logins_now, return_exceptions=True))

    results = asyncio.run(scenario())
    assert sum(isinstance(result, Verdict) for result in results) == 3


def test_request_that_ends_while_it_waits_leaves_no_gap() -> None:
    """Its place goes to the next one."""

    async def scenario() -> None:
        gate, _, _ = slow_gate(0.02, in_flight=1, suspects=1)
        tasks = [asyncio.create_task(gate.log_in("ada", WORD, HOME)) for _ in range(4)]
        await asyncio.sleep(0.005)
        tasks[1].cancel()
        await asyncio.sleep(0.02)
        tasks[2].cancel()
        assert (await tasks[3]).result == "ok"
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (gate.in_flight, gate.waiting) == (0, [])

    asyncio.run(scenario())
