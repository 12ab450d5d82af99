"""Which password is checked next, and which is not checked at all: no flood of wrong ones keeps a right one waiting.

Wrong passwords are counted per client and name, and per client; there is no count per name alone, so no account can be
locked by others. Checks in flight are few. A login that has to wait is served before those of clients with more wrong
passwords or more logins that wait. A browser that has logged in as a user before has a count of its own (OWASP: "device
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

from gpulab_hub.failures import Counter, client_of, neighbourhood_of
from gpulab_hub.passwords import HelperUnavailable, Verdict, acceptable

WAITING = 100
"""Logins that may wait for a check; the one of the client with most wrong passwords is rejected first."""
SUSPECTS_WAITING = 2
"""Logins of a client that may wait in what looks like a flood; the others are rejected without any work."""
SUSPECT = 4
"""Wrong passwords of a client: more look like a flood."""
BUSY_RETRY = 5
"""Seconds after which a login that found no place should be tried again."""
BUSY = f"Too many logins at the same time: try again in {BUSY_RETRY} seconds."


REJECTION_DELAY = 0.2
"""Seconds after which a rejected login is answered: the proxy must have sent all of the request by then."""


class TooManyLogins(Exception):
    """A login that is not checked. The message is for the user; it may be tried again after `seconds`."""

    def __init__(self, message: str, seconds: float, limited: bool = False) -> None:
        super().__init__(message)
        self.seconds, self.limited = math.ceil(seconds), limited


@dataclass(frozen=True)
class Source:
    """Where a login comes from: an address, and the number of a browser that has logged in with this name before."""

    address: str = "?"
    device: str = ""

    @property
    def client(self) -> str:
        """What wrong passwords are counted by."""
        return f"device {self.device}" if self.device else client_of(self.address)

    @property
    def neighbourhood(self) -> str:
        """The network of the client; a browser that is known has none."""
        return self.client if self.device else neighbourhood_of(self.address)


@dataclass(eq=False)
class Waiting:
    """A login that waits for its check."""

    source: Source
    number: int
    place: asyncio.Future[None]


@dataclass
class Limits:
    """How many logins are checked. Numbers are options of LabPAMAuthenticator, which explains them."""

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
    """Checks passwords, a few at a time, and answers failed checks late and at the same time for all names.

    `check` is HelperClient.check, `step` the seconds whose next multiple a failed check is answered at, counted from
    its start: known and unknown names differ in time below that. A wait holds no place among the checks in flight.
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
        self.allowed = [ip_network(each, strict=False) for each in self.limits.allowed]

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
            waiting = sum(each.source.client == source.client for each in self.waiting)
            if waiting >= SUSPECTS_WAITING:
                raise TooManyLogins(BUSY, BUSY_RETRY)
        async with self._place(source):
            # Others of the same client were checked meanwhile.
            self._reject_excess(source, str(name))
            # Counted as wrong from its start: checks at the same time do not pass the limit together.
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
        """Raise TooManyLogins where a client has given too many wrong passwords, before any other work is done."""
        if self._is_allowed(source.address):
            return
        seconds = self.names.wait((source.client, name), self.limits.per_name)
        what = "Too many wrong passwords for this name from your address"
        if not source.device and (more := self.clients.wait(source.client, self.limits.per_client)) > seconds:
            seconds, what = more, "Too many wrong passwords from your address"
        if seconds > 0:
            seconds = max(1, math.ceil(seconds))
            raise TooManyLogins(f"{what}: try again in {seconds} seconds, or log in over SSH.", seconds, limited=True)

    def _is_allowed(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(parsed in network for network in self.allowed)

    def _load(self, source: Source) -> float:
        """Return the wrong passwords and present logins of a client's network."""
        return self.present[source.neighbourhood] + self.networks.count(source.neighbourhood)

    def _has_place(self, source: Source) -> bool:
        """Return whether a check may start. One client has half of the places, and what looks like a flood fewer."""
        if self.checked[source.client] >= max(1, self.limits.in_flight // 2):
            return False
        return self.in_flight < (self.limits.suspects if self._is_suspect(source) else self.limits.in_flight)

    def _is_suspect(self, source: Source) -> bool:
        """Return whether a login looks like a part of a flood. A class that mistypes some passwords does not."""
        return self.clients.count(source.client) > SUSPECT and not self._is_allowed(source.address)

    def _ordered(self) -> list[Waiting]:
        """Return the logins that wait, the next one first.

        First counts how many wrong passwords and earlier logins of its client a login has before it, so that no client
        has more turns than another one; then the same of its network. Of equals the newest is next: a flood from many
        addresses is older than the login that it would hold up.
        """
        earlier, ranks = Numbers(self.checked), {}
        for each in self.waiting:
            own = self.clients.count(each.source.client) + earlier[each.source.client]
            ranks[each] = (own, self._load(each.source), -each.number)
            earlier[each.source.client] += 1
        return sorted(self.waiting, key=ranks.__getitem__)

    def _serve(self) -> None:
        """Give free places to those who wait."""
        if self.in_flight >= self.limits.in_flight:
            return
        for each in self._ordered():
            if self._has_place(each.source):
                self.waiting.remove(each)
                self.in_flight += 1
                self.checked[each.source.client] += 1
                each.place.set_result(None)

    @asynccontextmanager
    async def _place(self, source: Source) -> AsyncIterator[None]:
        """Hold a place among the checks in flight, when one is free; raise TooManyLogins without one."""
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
