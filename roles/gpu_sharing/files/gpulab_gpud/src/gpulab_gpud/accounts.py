# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of the host and their groups."""

from __future__ import annotations

import grp
import pwd
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

CALLER_SECONDS = 5.0
"""Time for which an account and its groups are not read again. What removed users hold ends independently of it."""


@dataclass(frozen=True)
class Caller:
    """The account at the other end of a connection."""

    name: str
    uid: int
    pid: int
    groups: tuple[str, ...]
    member: bool
    admin: bool
    delegate: bool


class Accounts:
    """Reads accounts and groups. The group of users is local: it is known while a directory does not answer."""

    def __init__(self, users_group: str, admin_group: str, groups: Iterable[str], delegates: Iterable[str]) -> None:
        self.users_group, self.admin_group = users_group, admin_group
        self._groups, self._delegates = tuple(groups), frozenset(delegates)
        self._uids: dict[str, int] = {}
        self._callers: dict[int, tuple[float, Caller]] = {}

    def known(self, uid: int, pid: int) -> Caller | None:
        """Return the account of a uid as it was read some seconds ago at most, without a read of the host's files."""
        read_at, caller = self._callers.get(uid, (0.0, None))
        return replace(caller, pid=pid) if caller and time.monotonic() - read_at < CALLER_SECONDS else None

    def caller(self, uid: int, pid: int) -> Caller | None:
        """Return the account of a uid, None for one that does not exist."""
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            return None
        caller = Caller(
            name,
            uid,
            pid,
            self.groups_of(name),
            member=self.is_member(name, self.users_group),
            admin=uid == 0 or self.is_member(name, self.admin_group),
            delegate=name in self._delegates,
        )
        self._callers[uid] = (time.monotonic(), caller)
        return caller

    def groups_of(self, name: str) -> tuple[str, ...]:
        """Return those of the configured groups that a user is a member of."""
        return tuple(group for group in self._groups if self.is_member(name, group))

    def is_member(self, name: str, group: str) -> bool:
        """Return whether a user is a member of a group, as its list of members or the user's own group shows it."""
        try:
            entry = grp.getgrnam(group)
        except KeyError:
            return False
        if name in entry.gr_mem:
            return True
        try:
            return pwd.getpwnam(name).pw_gid == entry.gr_gid
        except KeyError:
            return False

    def removed(self, names: Iterable[str]) -> list[str]:
        """Return the users who are not members of the group of users any more; none where the group cannot be read."""
        try:
            members = set(grp.getgrnam(self.users_group).gr_mem)
        except KeyError:
            return []
        return [
            name
            for name in sorted(set(names) - members)
            if not self.is_member(name, self.users_group)
            and not self.is_member(name, self.admin_group)
            and name != "root"
        ]

    def uid(self, name: str) -> int | None:
        """Return the uid of a user; the last known one while a directory does not answer."""
        try:
            self._uids[name] = pwd.getpwnam(name).pw_uid
        except KeyError:
            return self._uids.get(name)
        return self._uids[name]

    def gids(self) -> frozenset[int]:
        """Return the gids of the groups whose members use GPUs."""
        result = set()
        for group in (self.users_group, self.admin_group):
            try:
                result.add(grp.getgrnam(group).gr_gid)
            except KeyError:
                continue
        return frozenset(result)
