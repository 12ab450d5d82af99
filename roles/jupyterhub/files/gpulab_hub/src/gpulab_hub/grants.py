"""Resources that other packages grant to a server that starts: what they give, and how grants are put together.

A granter is a class without arguments, named by an entry point of the group `gpulab.grants`:

    class GPUs:
        async def grant(self, account: Account, options: Mapping[str, Any]) -> Grant: ...
        async def release(self, account: Account) -> None: ...

`grant` raises Rejection with a sentence for the user when there is nothing to grant; the server is then not started,
and what other granters had granted is released. `release` is called when the server has stopped, and once more when in
doubt: it must not mind being called for somebody who holds nothing.

A granter that reads options of the user's names them in an attribute `options` (a set of texts). The hub rejects all
other options; values are texts, numbers or lists of them, which the granter has to check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Protocol, cast

GROUP = "gpulab.grants"


class Refusal(Exception):
    """A server cannot be started now. `message` is for the user, `reason` one word for the metrics."""

    def __init__(self, message: str, reason: str = "rejected") -> None:
        super().__init__(message)
        self.message, self.reason = message, reason


@dataclass(frozen=True)
class Account:
    """Whose server it is."""

    name: str
    uid: int
    gid: int
    home: str
    groups: tuple[str, ...] = ()

    @property
    def slice(self) -> str:
        """Name the slice in which everything of this user runs."""
        return f"user-{self.uid}.slice"


@dataclass(frozen=True)
class Grant:
    """Variables for the environment of the server.

    A grant changes no property of the server's unit: devices are granted by access control lists, limits by drop-ins of
    the user's slice.
    """

    environment: Mapping[str, str] = field(default_factory=dict)


class Granter(Protocol):
    """What an entry point of the group gives."""

    async def grant(self, account: Account, options: Mapping[str, Any]) -> Grant:
        """Give what this user may use, or raise Rejection."""

    async def release(self, account: Account) -> None:
        """Take it back."""


def granters() -> dict[str, Granter]:
    """Find what is installed, in order of name."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return {point.name: cast(Granter, point.load()()) for point in points}


def known_options() -> frozenset[str]:
    """Return the names of all options that granters read."""
    return frozenset[str]().union(*(getattr(granter, "options", ()) for granter in granters().values()))


async def collect(found: Mapping[str, Granter], account: Account, options: Mapping[str, Any]) -> list[Grant]:
    """Ask every granter; where one rejects or fails, what the others gave is taken back before the error goes on."""
    grants = []
    try:
        for granter in found.values():
            grant = await granter.grant(account, options)
            grants.append(grant)
    except BaseException:
        await release(found, account)
        raise
    return grants


async def release(found: Mapping[str, Granter], account: Account) -> dict[str, Exception]:
    """Take everything back; one granter that fails keeps no other from it. Gives the failures by name."""
    failures = {}
    for name, granter in found.items():
        try:
            await granter.release(account)
        except Exception as error:  # noqa: BLE001  # whatever another package does wrong
            failures[name] = error
    return failures
