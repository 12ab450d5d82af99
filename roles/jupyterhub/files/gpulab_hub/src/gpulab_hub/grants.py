# SPDX-License-Identifier: GPL-3.0-or-later
"""Interface for packages that grant resources, such as GPUs, to a server that starts.

A granter is a class without arguments, named by an entry point of the group `gpulab.grants`:

    class GPUs:
        async def grant(self, account: Account, options: Mapping[str, Any]) -> Grant: ...
        async def release(self, account: Account) -> None: ...

`grant` raises Rejection with a sentence for the user when there is nothing to grant; the server is then not started,
and the grants of other granters are released. `release` is called when the server has stopped, possibly several times:
it must accept an account that holds nothing.

A granter that reads options of the user names them in an attribute `options` (a set of texts). The hub rejects all
other options; values are texts, numbers or lists of them, which the granter has to check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Protocol, cast

GROUP = "gpulab.grants"


class Rejection(Exception):
    """A server cannot be started now. `message` is for the user, `reason` is one word for the metrics."""

    def __init__(self, message: str, reason: str = "rejected") -> None:
        super().__init__(message)
        self.message, self.reason = message, reason


@dataclass(frozen=True)
class Account:
    """Account of the user whose server starts."""

    name: str
    uid: int
    gid: int
    home: str
    groups: tuple[str, ...] = ()

    @property
    def slice(self) -> str:
        """Return the name of the slice in which all processes of this user run."""
        return f"user-{self.uid}.slice"


@dataclass(frozen=True)
class Grant:
    """Environment variables of the server.

    A grant changes no property of the server's unit: devices are granted by access control lists, limits by drop-ins of
    the user's slice.
    """

    environment: Mapping[str, str] = field(default_factory=dict)


class Granter(Protocol):
    """Interface of the class that an entry point names."""

    async def grant(self, account: Account, options: Mapping[str, Any]) -> Grant:
        """Grant resources to this user, or raise Rejection."""

    async def release(self, account: Account) -> None:
        """Release the resources of this user."""


def granters() -> dict[str, Granter]:
    """Return the installed granters by name, in the order of their names."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return {point.name: cast(Granter, point.load()()) for point in points}


def known_options() -> frozenset[str]:
    """Return the names of all options that granters read."""
    return frozenset[str]().union(*(getattr(granter, "options", ()) for granter in granters().values()))


async def collect(granters: Mapping[str, Granter], account: Account, options: Mapping[str, Any]) -> list[Grant]:
    """Return the grants of all granters; where one raises an error, release the others and raise it again."""
    grants = []
    try:
        for granter in granters.values():
            grant = await granter.grant(account, options)
            grants.append(grant)
    except BaseException:
        await release(granters, account)
        raise
    return grants


async def release(granters: Mapping[str, Granter], account: Account) -> dict[str, Exception]:
    """Release all grants, also after a failure; return the failures by granter."""
    failures = {}
    for name, granter in granters.items():
        try:
            await granter.release(account)
        except Exception as error:  # noqa: BLE001  # errors of another package
            failures[name] = error
    return failures
