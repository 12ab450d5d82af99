"""Which password is checked next, and which is not checked at all: no flood of wrong ones keeps a right one waiting.

Wrong passwords are counted per client and name, and per client; there is no count per name alone, so no account can be
locked by others. Checks in flight are few. A login that has to wait is served before those of clients with more wrong
passwords than its own. A browser that has logged in as a user before has a count of its own.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from gpulab_hub.failures import Counter, client_of, neighbourhood_of
from gpulab_hub.passwords import HelperUnavailable, Verdict, acceptable

WAITING = 200
"""Logins that may wait for a check; the one of the client with most wrong passwords is rejected first."""
NEIGHBOURS = 20
"""Wrong passwords of a network (/24, /48, the loopback) from which on clients that are new there have no precedence."""
BUSY_RETRY = 5
"""Seconds after which a login that found no place should be tried again."""
BUSY = f"Too many logins at the same time: try again in {BUSY_RETRY} seconds."


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
    patience: float = 15.0
    per_name: int = 5
    per_name_seconds: float = 60.0
    per_client: int = 40
    per_client_seconds: float = 10.0
    allowed: Iterable[str] = ()


@dataclass
class LoginGate:
    """Checks passwords, a few at a time, and answers failed checks late and at the same time for all names.

    `check` is HelperClient.check, `step` the seconds whose next multiple a failed check is answered at, counted from its
    start: known and unknown names differ in time below that. A wait holds no place among the checks in flight.
    """

    check: Callable[[str, str], Awaitable[Verdict]]
    limits: Limits = field(default_factory=Limits)
    step: float = 2.0
    clock: Callable[[], float] = field(default=lambda: asyncio.get_running_loop().time())
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    in_flight: int = 0
    waiting: list[Waiting] = field(default_factory=list)
    arrived: int = 0

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
        await self._take_place(source)
        wrong = False
        try:
            # Others of the same client were checked meanwhile.
            self._reject_excess(source, str(name))
            # Counted as wrong from its start: checks at the same time do not pass the limit together.
            self.names.add((source.client, name))
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
        finally:
            self._free_place()

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

    def _rank(self, each: Waiting) -> tuple[float, float, int]:
        """Return what decides who is next, the smallest first: own wrong passwords, the network's, arrival."""
        source = each.source
        return self.clients.count(source.client), self.networks.count(source.neighbourhood), each.number

    def _has_place(self, source: Source) -> bool:
        """Return whether a check may start. Clients with wrong passwords leave half of the places to the others."""
        suspect = self.clients.count(source.client) or self.networks.count(source.neighbourhood) >= NEIGHBOURS
        return self.in_flight < (max(1, self.limits.in_flight // 2) if suspect else self.limits.in_flight)

    async def _take_place(self, source: Source) -> None:
        """Wait for a place among the checks in flight, which _free_place gives back; raise TooManyLogins without one."""
        self.arrived += 1
        own = Waiting(source, self.arrived, asyncio.get_running_loop().create_future())
        self.waiting.append(own)
        self._serve()
        if len(self.waiting) > WAITING:
            last = max(self.waiting, key=self._rank)
            self.waiting.remove(last)
            last.place.set_exception(TooManyLogins(BUSY, BUSY_RETRY))
        served = False
        try:
            await asyncio.wait([own.place], timeout=self.limits.patience)
            if not own.place.done():
                raise TooManyLogins(BUSY, BUSY_RETRY)
            own.place.result()
            served = True
        finally:
            if own in self.waiting:
                self.waiting.remove(own)
            elif not served and own.place.done() and not own.place.exception():
                # The request ended in the moment in which it was served.
                self._free_place()

    def _free_place(self) -> None:
        self.in_flight -= 1
        self._serve()

    def _serve(self) -> None:
        """Give free places to those who wait, in order of their rank."""
        for each in sorted(self.waiting, key=self._rank):
            if self._has_place(each.source):
                self.waiting.remove(each)
                self.in_flight += 1
                each.place.set_result(None)

    async def _delay(self, start: float) -> None:
        passed = self.clock() - start
        await self.sleep(max(1, math.ceil(passed / self.step)) * self.step - passed)
