# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits and queue of password checks, so that a flood of wrong passwords does not delay a right one.

Wrong passwords are counted per client and name, and per client; there is no count per name alone, so users cannot lock
each other's accounts. Few checks run at a time. A waiting login is served before those of clients with more wrong
passwords or more waiting logins. A browser that has logged in as a user before has a count of its own (OWASP: "device
cookies").
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter as Numbers
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from gpulab_hub.clients import Source
from gpulab_hub.failures import Counter
from gpulab_hub.passwords import HelperUnavailable, Verdict, acceptable

WAITING = 100
"""Largest number of waiting logins; that of the client with most wrong passwords is rejected first."""
SUSPECTS_WAITING = 2
"""Largest number of waiting logins of a suspect client; further ones are rejected at once."""
SUSPECT = 4
"""A client with more wrong passwords is a suspect: it may be part of a flood."""
BUSY_RETRY = 5
"""Seconds after which a login that was rejected for lack of a place should be tried again."""
BUSY = f"Too many logins at the same time: try again in {BUSY_RETRY} seconds."
REJECTION_DELAY = 0.2
"""Seconds before the answer to a rejected login, within which the proxy sends the whole request."""


class TooManyLogins(Exception):
    """A login is not checked. The message is for the user, who may try again after `seconds`."""

    def __init__(self, message: str, seconds: float, limited: bool = False) -> None:
        super().__init__(message)
        self.seconds, self.limited = math.ceil(seconds), limited


@dataclass(eq=False)
class Waiting:
    """A waiting login."""

    source: Source
    number: int
    place: asyncio.Future[None]


@dataclass
class Limits:
    """Limits of checks. They are options of LabPAMAuthenticator, which documents them."""

    in_flight: int = 8
    suspects: int = 4
    patience: float = 15.0
    per_name: int = 5
    per_name_seconds: float = 60.0
    per_client: int = 40
    per_client_seconds: float = 10.0
    allowed: Iterable[str] = ()


@dataclass
class LoginGate:
    """Check passwords, a few at a time, and answer failed checks after the same time for all names.

    `check` is HelperClient.check. A failed check is answered at the next multiple of `step` seconds after its start,
    which hides whether a name exists. This delay does not count as a check in flight.
    """

    check: Callable[[str, str], Awaitable[Verdict]]
    limits: Limits = field(default_factory=Limits)
    step: float = 2.0
    clock: Callable[[], float] = field(default=lambda: asyncio.get_running_loop().time())
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    in_flight: int = 0
    waiting: list[Waiting] = field(default_factory=list)
    arrived: int = 0
    checked: Numbers[str] = field(default_factory=Numbers)
    present: Numbers[str] = field(default_factory=Numbers)

    def __post_init__(self) -> None:
        """Start all counts; raise ValueError for an allowed address that is not an address or a network."""
        self.names = Counter(self.limits.per_name_seconds, self.clock)
        self.clients = Counter(self.limits.per_client_seconds, self.clock)
        self.networks = Counter(self.limits.per_client_seconds, self.clock)
        self.allowed = [ip_network(network, strict=False) for network in self.limits.allowed]

    async def log_in(self, name: object, password: object, source: Source | None = None) -> Verdict:
        """Check one login; raise TooManyLogins before the helper is called, HelperUnavailable after the delay."""
        start = self.clock()
        try:
            verdict = await self._check(name, password, source or Source())
        except TooManyLogins:
            await self.sleep(REJECTION_DELAY)
            raise
        except HelperUnavailable:
            await self._delay(start)
            raise
        if verdict.result != "ok":
            await self._delay(start)
        return verdict

    async def _check(self, name: object, password: object, source: Source) -> Verdict:
        if not acceptable(name, password):
            return Verdict("wrong")
        self._reject_excess(source, str(name))
        if self._is_suspect(source):
            waiting = sum(login.source.client == source.client for login in self.waiting)
            if waiting >= SUSPECTS_WAITING:
                raise TooManyLogins(BUSY, BUSY_RETRY)
        async with self._place(source):
            # Other logins of the same client have been checked meanwhile.
            self._reject_excess(source, str(name))
            # Counted as wrong from its start, so that simultaneous checks do not exceed the limit.
            self.names.add((source.client, name))
            wrong = False
            try:
                verdict = await self.check(str(name), str(password))
                wrong = verdict.result == "wrong"
            finally:
                if not wrong:
                    self.names.add((source.client, name), -1)
            if wrong:
                self.clients.add(source.client)
                self.networks.add(source.neighbourhood)
            return verdict

    def _reject_excess(self, source: Source, name: str) -> None:
        """Raise TooManyLogins where a client has sent too many wrong passwords."""
        if self._is_allowed(source.address):
            return
        seconds = self.names.wait((source.client, name), self.limits.per_name)
        reason = "Too many wrong passwords for this name from your address"
        if not source.device and (more := self.clients.wait(source.client, self.limits.per_client)) > seconds:
            seconds, reason = more, "Too many wrong passwords from your address"
        if seconds > 0:
            seconds = max(1, math.ceil(seconds))
            raise TooManyLogins(f"{reason}: try again in {seconds} seconds, or log in over SSH.", seconds, limited=True)

    def _is_allowed(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(parsed in network for network in self.allowed)

    def _load(self, source: Source) -> float:
        """Return the number of wrong passwords and current logins of a client's network."""
        return self.present[source.neighbourhood] + self.networks.count(source.neighbourhood)

    def _has_place(self, source: Source) -> bool:
        """Return whether a check may start. One client gets at most half of the places, a suspect fewer."""
        if self.checked[source.client] >= max(1, self.limits.in_flight // 2):
            return False
        return self.in_flight < (self.limits.suspects if self._is_suspect(source) else self.limits.in_flight)

    def _is_suspect(self, source: Source) -> bool:
        """Return whether a login may be part of a flood; a class with some mistyped passwords is not."""
        return self.clients.count(source.client) > SUSPECT and not self._is_allowed(source.address)

    def _ordered(self) -> list[Waiting]:
        """Return the waiting logins, the next one first.

        They are ordered by the number of wrong passwords and earlier logins of their client, so that all clients get
        the same number of turns, then by that of their network. Of equals the newest is next: a flood from many
        addresses is older than the login that it would delay.
        """
        earlier, ranks = Numbers(self.checked), {}
        for login in self.waiting:
            own = self.clients.count(login.source.client) + earlier[login.source.client]
            ranks[login] = (own, self._load(login.source), -login.number)
            earlier[login.source.client] += 1
        return sorted(self.waiting, key=ranks.__getitem__)

    def _serve(self) -> None:
        """Start waiting logins as long as there are free places."""
        if self.in_flight >= self.limits.in_flight:
            return
        for login in self._ordered():
            if self._has_place(login.source):
                self.waiting.remove(login)
                self.in_flight += 1
                self.checked[login.source.client] += 1
                login.place.set_result(None)

    @asynccontextmanager
    async def _place(self, source: Source) -> AsyncIterator[None]:
        """Wait for a place among the checks in flight and hold it; raise TooManyLogins when none becomes free."""
        self.arrived += 1
        own = Waiting(source, self.arrived, asyncio.get_running_loop().create_future())
        self.waiting.append(own)
        self.present[source.neighbourhood] += 1
        self._serve()
        if len(self.waiting) > WAITING:
            last = self._ordered()[-1]
            self.waiting.remove(last)
            last.place.set_exception(TooManyLogins(BUSY, BUSY_RETRY))
        try:
            await asyncio.wait([own.place], timeout=self.limits.patience)
            if not own.place.done():
                raise TooManyLogins(BUSY, BUSY_RETRY)
            own.place.result()
            yield
        finally:
            if own in self.waiting:
                self.waiting.remove(own)
            elif not own.place.exception():
                self.in_flight -= 1
                self.checked -= Numbers([source.client])
            self.present -= Numbers([source.neighbourhood])
            self._serve()

    async def _delay(self, start: float) -> None:
        passed = self.clock() - start
        await self.sleep(max(1, math.ceil(passed / self.step)) * self.step - passed)
