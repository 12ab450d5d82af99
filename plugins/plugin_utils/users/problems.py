# SPDX-License-Identifier: GPL-3.0-or-later
"""Problems of requested users, groups and limits that show without a host. Pure functions: sentences out."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from ansible_collections.gpulab.core.plugins.plugin_utils.users.limits import (
    group_problems,
    limit_problems,
    misspelt_groups,
)

NAME = re.compile(r"^[a-z_][a-z0-9_-]{0,30}$")
"""Login and group names that every tool of the distribution accepts (useradd(8): NAME_REGEX, at most 32 bytes)."""
HASH = re.compile(r"^\$(?:6|5|y|gy|2[aby]|7)\$[^:\s]+$")
"""Prefixes of crypt(5) that Debian and Ubuntu log in with; MD5 ($1$) and DES are too weak to be accepted."""
KEY_KINDS = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-", "sk-ssh-ed25519@", "sk-ecdsa-sha2-")
RESERVED = frozenset(
    ("root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc nobody").split(" ")  # noqa: SIM905
)
"""Accounts that every Debian has (base-passwd: /usr/share/base-passwd/passwd.master)."""
MIN_UID = 1000
"""Smaller uids belong to system accounts (login.defs(5): UID_MIN)."""


def user_problems(
    users: Iterable[Mapping[str, Any]], groups: Iterable[str] = (), limits: Mapping[str, Any] | None = None
) -> list[str]:
    """Return the problems of the users, the groups (checked whole where they are a mapping) and the default limits.

    The sentences never repeat a password or a hash.
    """
    accounts = [user for user in users if isinstance(user, Mapping)]
    names = [str(user.get("name", "")) for user in accounts]
    problems = [
        f"users_accounts (gpulab_users): user {name} is named {count} times. Keep one entry."
        for name, count in Counter(names).items()
        if count > 1
    ]
    uids = Counter(user["uid"] for user in accounts if user.get("uid") is not None)
    problems += [
        f"users_accounts (gpulab_users): uid {uid} is given to {count} users. Choose another uid for all but one."
        for uid, count in uids.items()
        if count > 1
    ]
    for user in accounts:
        problems += [f"users_accounts (gpulab_users): {problem}" for problem in account_problems(user)]
    used = {str(group) for user in accounts for group in user.get("groups") or []} | set(map(str, groups))
    problems += [f"users_groups (gpulab_groups): {problem}" for problem in group_name_problems(used)]
    if isinstance(groups, Mapping):
        problems += [f"users_groups (gpulab_groups): {problem}" for problem in group_problems(groups)]
    problems += [f"users_limits: {problem}" for problem in limit_problems(limits or {})]
    return problems + misspelt_groups(used, groups)


def group_name_problems(names: Iterable[str]) -> list[str]:
    """Return a sentence for each name that the distribution's tools do not accept for a group."""
    return [
        f"group {name!r} is not an acceptable name. Use small letters, digits, - and _, at most 31."
        for name in sorted(names)
        if not NAME.match(name)
    ]


def account_problems(user: Mapping[str, Any]) -> list[str]:
    """Return the problems of one user, each beginning with the user's name."""
    name = str(user.get("name", ""))
    return [f"user {name!r}: {problem}" for problem in _problems_of(user, name)]


def _problems_of(user: Mapping[str, Any], name: str) -> Iterable[str]:
    if not NAME.match(name):
        yield "a login name starts with a small letter and holds small letters, digits, - and _ only, at most 31."
    if name in RESERVED:
        yield "this is an account of the system. Choose another name."
    if "password" in user:
        yield "plain-text passwords are not accepted. Set password_hash, as `openssl passwd -6` prints it."
    secret = user.get("password_hash")
    if secret and not HASH.match(str(secret)):
        yield "password_hash is not a crypt hash (a plain-text password?). Print one with `openssl passwd -6`."
    uid = user.get("uid")
    if uid is not None and not str(uid).isdecimal():
        yield f"uid {uid} is not a number."
    elif uid is not None and int(uid) < MIN_UID:
        yield f"uid {uid} belongs to the system. Choose {MIN_UID} or more."
    for position, key in enumerate(user.get("ssh_keys") or [], start=1):
        if not is_public_key(str(key)):
            yield f"SSH key {position} is not a public key (one line that starts with ssh-ed25519, ssh-rsa ...)."
    limits = user.get("limits") or {}
    if isinstance(limits, Mapping):
        yield from limit_problems(limits)
    else:
        yield "limits is not a dictionary with the keys cpu, memory, swap, tasks and disk."
    expires = user.get("expires")
    if expires and not is_day(str(expires)):
        yield f"expires: {expires} is not a day. Write it as 2027-03-31."


def is_day(text: str) -> bool:
    """Return whether a text is a day as 2027-03-31."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_public_key(line: str) -> bool:
    """Return whether a line is one public key of OpenSSH: a type, and data that repeats the type (RFC 4253, 6.6)."""
    fields = line.split()
    if len(fields) < 2 or not fields[0].startswith(KEY_KINDS) or "\n" in line.strip():
        return False
    try:
        data = base64.b64decode(fields[1], validate=True)
    except binascii.Error:
        return False
    length = int.from_bytes(data[:4], "big")
    return data[4 : 4 + length] == fields[0].encode()
