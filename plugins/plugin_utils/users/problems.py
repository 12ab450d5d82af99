# SPDX-License-Identifier: GPL-3.0-or-later
"""Problems of requested users, groups and limits that show without a host. Pure functions: sentences out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from ansible_collections.gpulab.core.plugins.module_utils.users.accounts import NAME
from ansible_collections.gpulab.core.plugins.plugin_utils.users.keys import public_keys
from ansible_collections.gpulab.core.plugins.plugin_utils.users.limits import (
    group_problems,
    limit_problems,
    misspelt_groups,
)
from ansible_collections.gpulab.core.plugins.plugin_utils.users.values import group_names, unusual_characters

HASH = re.compile(r"^\$(?:6|5|y|gy|2[aby]|7)\$[^:\s]+\Z")
"""Prefixes of crypt(5) that Debian and Ubuntu log in with; MD5 ($1$) and DES are too weak to be accepted."""
EXISTING_NAME = re.compile(r"^(?!\d+\Z)[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\Z")
"""Names that a host may have already, such as those of a directory; the role adopts them and creates none."""
DAY = re.compile(r"^\d{4}-\d{2}-\d{2}\Z")
RESERVED = frozenset(
    ("root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc nobody").split(" ")  # noqa: SIM905
)
"""Accounts that every Debian has (base-passwd: /usr/share/base-passwd/passwd.master)."""
FIRST_YEAR, LAST_YEAR = 1971, 2199
"""Days count from 1970 in /etc/shadow; later ones overflow the times of some programs."""
NOBODY = (65534, 65535)
"""Users of systems without a name (systemd: Users, Groups, UIDs and GIDs); the last one means no user in 16 bits."""
MAX_UID = 2**32 - 3
MIN_UID = 1000
"""Smaller uids belong to system accounts (login.defs(5): UID_MIN)."""


def user_problems(
    users: Iterable[Mapping[str, Any]],
    groups: Iterable[str] = (),
    limits: Mapping[str, Any] | None = None,
    ports: Mapping[str, Sequence[Any]] | None = None,
) -> list[str]:
    """Return the problems of the users, the groups (checked whole where they are a mapping) and the default limits.

    `ports` are lists of ports and port ranges by option. The sentences never repeat a password or a hash. Names that
    only an existing account or group may have pass: whether the host has them is checked there.
    """
    accounts = [user for user in users if isinstance(user, Mapping)]
    names = [str(user.get("name", "")) for user in accounts]
    problems = [
        f"users_accounts (gpulab_users): user {name} is named {count} times. Keep one entry."
        for name, count in Counter(names).items()
        if count > 1
    ]
    uids = Counter(str(user["uid"]) for user in accounts if user.get("uid") is not None)
    problems += [
        f"users_accounts (gpulab_users): uid {uid} is given to {count} users. Choose another uid for all but one."
        for uid, count in uids.items()
        if count > 1
    ]
    for user in accounts:
        problems += [f"users_accounts (gpulab_users): {problem}" for problem in account_problems(user, EXISTING_NAME)]
    used = {group for user in accounts for group in group_names(user)} | set(map(str, groups))
    problems += [f"users_groups (gpulab_groups): {problem}" for problem in group_name_problems(used, EXISTING_NAME)]
    if isinstance(groups, Mapping):
        problems += [f"users_groups (gpulab_groups): {problem}" for problem in group_problems(groups)]
    problems += [f"users_limits: {problem}" for problem in limit_problems(limits or {})]
    problems += [
        f"{option}: {port!r} is not a port (1 to 65535) or a range of ports (1-1023)."
        for option, listed in (ports or {}).items()
        for port in listed
        if not are_ports(str(port))
    ]
    return problems + misspelt_groups(used, groups)


def group_name_problems(names: Iterable[str], accepted: re.Pattern[str] = NAME) -> list[str]:
    """Return a sentence for each name of a group that is not an accepted one."""
    return [
        f"group {name!r} is not an acceptable name{_because_of(name)}. Use small letters, digits, - and _, at most 31."
        for name in sorted(names)
        if not accepted.match(name)
    ]


def _because_of(name: str) -> str:
    character = unusual_characters(name)
    return f", because it holds {character}" if character else ""


def account_problems(user: Mapping[str, Any], accepted: re.Pattern[str] = NAME) -> list[str]:
    """Return the problems of one user, each beginning with the user's name. `accepted` are the names that pass."""
    name = str(user.get("name", ""))
    return [f"user {name!r}: {problem}" for problem in _problems_of(user, name, accepted)]


def _problems_of(user: Mapping[str, Any], name: str, accepted: re.Pattern[str]) -> Iterable[str]:
    if not accepted.match(name):
        yield (
            "a login name starts with a small letter and holds small letters, digits, - and _ only, at most 31"
            f"{_because_of(name).replace(', because it', '; this one')}."
        )
    if name in RESERVED:
        yield "this is an account of the system. Choose another name."
    if "password" in user:
        yield "plain-text passwords are not accepted. Set password_hash, as `openssl passwd -6` prints it."
    secret = user.get("password_hash")
    if secret and not HASH.match(str(secret).strip()):
        yield "password_hash is not a crypt hash (a plain-text password?). Print one with `openssl passwd -6`."
    uid = user.get("uid")
    if uid is not None and not str(uid).isdecimal():
        yield f"uid {uid} is not a number."
    elif uid is not None and int(uid) < MIN_UID:
        yield f"uid {uid} belongs to the system. Choose {MIN_UID} or more."
    elif uid is not None and (int(uid) in NOBODY or int(uid) > MAX_UID):
        yield f"uid {uid} is not one that a user can have. Choose one from {MIN_UID} to {NOBODY[0] - 1}."
    for position, key in enumerate(public_keys(user.get("ssh_keys")), start=1):
        if key.problem:
            yield f"SSH key {position} {key.problem}."
    limits = user.get("limits") or {}
    if isinstance(limits, Mapping):
        yield from limit_problems(limits)
    else:
        yield "limits is not a dictionary with the keys cpu, memory, swap, tasks and disk."
    expires = user.get("expires")
    if expires and not is_day(str(expires)):
        yield f"expires: {expires} is not a day. Write it as 2027-03-31."
    elif expires and not FIRST_YEAR <= date.fromisoformat(str(expires)).year <= LAST_YEAR:
        yield f"expires: {expires} is not between {FIRST_YEAR} and {LAST_YEAR}. Leave it out for no last day."


def is_day(text: str) -> bool:
    """Return whether a text is a day as 2027-03-31."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return bool(DAY.match(text))


def are_ports(text: str) -> bool:
    """Return whether a text is a TCP port, or a range of ports as 1-1023."""
    numbers = text.split("-")
    if len(numbers) > 2 or not all(number.isdecimal() and 1 <= int(number) <= 65535 for number in numbers):
        return False
    return int(numbers[0]) <= int(numbers[-1])
