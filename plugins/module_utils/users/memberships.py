# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record of the groups, memberships and passwords that the role users has set on a host. Internal to gpulab.core.

The record is a JSON file of root's. It is written before memberships are granted and again after others were revoked,
so that a run that is cut off is completed by the next one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MIN_GID = 1000
"""Smaller gids belong to groups of the system (login.defs(5): GID_MIN)."""
MANY_LEAVERS = 5
"""So many users who leave in one run, and more than a third of all, must be confirmed: a list may have been lost."""
NAMED_LEAVERS = 10
"""So many of them are named in the message."""
NO_PASSWORD = frozenset(("", "*", "!", "!!", "!*"))
"""Password fields of shadow(5) of accounts that never had a password."""

Members = dict[str, set[str]]


@dataclass(frozen=True)
class Group:
    """A group of the host."""

    gid: int
    members: frozenset[str]


@dataclass
class Record:
    """State that one application of the role has set.

    Groups, members by group, digests of hashes by user, and days of expiry by user (null: never).
    """

    made: set[str] = field(default_factory=set)
    members: Members = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    expires: dict[str, int | None] = field(default_factory=dict)

    def text(self) -> str:
        """Return the record as the text of its file."""
        value = {
            "made": sorted(self.made),
            "members": {group: sorted(names) for group, names in self.members.items() if names},
            "passwords": self.passwords,
            "expires": self.expires,
        }
        return json.dumps(value, indent=2, sort_keys=True) + "\n"


def parsed(text: str) -> Record:
    """Return the record in a file's text; raise ValueError where the text is not a record."""
    try:
        value = json.loads(text)
        return Record(
            {str(name) for name in value["made"]},
            {str(group): {str(name) for name in names} for group, names in value["members"].items()},
            {str(name): str(digest) for name, digest in value["passwords"].items()},
            {str(name): day for name, day in value.get("expires", {}).items()},
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{error!r} is missing or has another type") from None


def stored(path: Path) -> Record | None:
    """Return the record in a file, or None without a file; raise ValueError where it cannot be read."""
    try:
        return parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(
            f"{path} is not a record of memberships ({error}). Restore it from a backup, or remove it: groups that "
            "exist then count as the host's own, and keep members that are not listed."
        ) from None


def granted_by_others(path: Path) -> Members:
    """Return the members by group in the records of other applications of the role on the same host."""
    members: Members = {}
    for other in sorted(path.parent.glob("*.json")):
        if other != path and (record := stored(other)):
            for group, names in record.members.items():
                members.setdefault(group, set()).update(names)
    return members


def digest(password_hash: str) -> str:
    """Return the digest of a crypt hash for the record; the hash cannot be read from it."""
    return hashlib.sha256(password_hash.encode()).hexdigest()


@dataclass(frozen=True)
class Plan:
    """Changes of a run: `revoked` memberships as (group, user), and the members by group after the run."""

    made: set[str]
    revoked: list[tuple[str, str]]
    allowed: Members

    def record_before(self, record: Record, requested: Members, passwords: Mapping[str, str]) -> Record:
        """Return the record to write before anything is granted or revoked."""
        members = {group: names | record.members.get(group, set()) for group, names in requested.items()}
        for group, name in self.revoked:
            members.setdefault(group, set()).add(name)
        return Record(self.made, members, dict(passwords), dict(record.expires))


def plan(
    record: Record | None, requested: Members, host: Mapping[str, Group], owned: list[str], others: Members
) -> Plan:
    """Return the changes that give a host the requested members by group.

    `owned` are groups that have no members but the requested ones, the group of all users first. `others` are members
    that other applications of the role have granted.
    """
    known = record or Record()
    made = {group for group in requested if group not in host} | {group for group in known.made if group in host}
    made -= set(owned)
    revoked = []
    allowed: Members = {}
    for group in sorted({*owned, *made, *known.members} & set(host)):
        present = set(host[group].members)
        candidates = known.members.get(group, set()) | (present if group in owned or group in made else set())
        surplus = candidates - requested.get(group, set()) - others.get(group, set())
        revoked += [(group, name) for name in sorted(surplus)]
        allowed[group] = (present | requested.get(group, set()) | others.get(group, set())) - surplus
    return Plan(made, revoked, allowed)


def foreign_members(
    record: Record | None, requested: Members, host: Mapping[str, Group], owned: Iterable[str], others: Members
) -> list[str]:
    """Return a sentence for each owned group that the role did not make and that has members who are not listed."""
    if record is not None:
        return []
    surplus = {
        group: sorted(host[group].members - requested.get(group, set()) - others.get(group, set()))
        for group in owned
        if group in host
    }
    return [
        f"group {group} exists, and {', '.join(names)} in it {'is' if len(names) == 1 else 'are'} not listed in "
        f"users_accounts (gpulab_users). List them, remove them from the group (gpasswd --delete {names[0]} {group}), "
        "or set another group in users_group (gpulab_users_group) or users_admin_group (gpulab_users_admin_group)."
        for group, names in surplus.items()
        if names
    ]


def keeps_expiry(now: int | None, requested: int | None, record: Record | None, name: str, group: str) -> bool:
    """Return whether a day of expiry was set by hand since the role set another one, and the inventory did not change.

    `group` is the group of all users: an account that was not in it, such as one that comes back, gets the requested
    day.
    """
    if record is None or now == requested or name not in record.members.get(group, set()):
        return False
    return name in record.expires and record.expires[name] == requested


def unconfirmed_removals(leavers: Sequence[str], present: int, confirmed: int) -> str:
    """Return why a run that would revoke the access of many users must not start, empty where it may.

    `present` is the number of users who have access now, `confirmed` the number of leavers that the site has confirmed.
    """
    number = len(leavers)
    if number < MANY_LEAVERS or number * 3 <= present or number == confirmed:
        return ""
    names = ", ".join(sorted(leavers)[:NAMED_LEAVERS])
    more = f" and {number - NAMED_LEAVERS} more" if number > NAMED_LEAVERS else ""
    return (
        f"{number} of {present} users would lose their access: {names}{more}. They are not listed in "
        "users_accounts (gpulab_users), or are absent there. If that is right, run again with "
        f"-e users_confirm_removals={number}."
    )


def sets_password(
    password_hash: str, field_now: str | None, known: str | None, keeps_own: bool, update: str = "changed"
) -> bool:
    """Return whether a configured hash is to be set.

    `field_now` is the field in shadow, None without an account; `known` the digest of the hash that was set last.
    `keeps_own`: a hash that was never set by the role gives way to the user's own password. `update` is `on_create`
    (only where there is no password), `always` (wherever there is another one) or `changed` (a new hash).
    """
    if field_now is None or field_now in NO_PASSWORD:
        return True
    if field_now.lstrip("!") == password_hash or update == "on_create":
        return False
    if update == "always":
        return True
    if known == digest(password_hash):
        return False
    return known is not None or not keeps_own


def is_locked(field_now: str | None) -> bool:
    """Return whether an account with a password is locked, as usermod --lock does it."""
    return field_now is not None and field_now not in NO_PASSWORD and field_now.startswith("!")


def remembered(
    configured: Mapping[str, str], listed: Iterable[str], accounts: Iterable[str], record: Record
) -> dict[str, str]:
    """Return the digests to keep after a run: of listed users with a hash, and of leavers who still have an account."""
    gone = set(accounts) - set(listed)
    kept = {name: value for name, value in record.passwords.items() if name in gone}
    return {**kept, **{name: digest(value) for name, value in configured.items()}}
