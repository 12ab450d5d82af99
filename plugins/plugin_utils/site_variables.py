"""What can be said about the settings before any host is asked. Pure functions: problems out, as sentences."""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from ansible_collections.gpulab.core.plugins.plugin_utils.hub.options import hub_problems as hub_problems
from ansible_collections.gpulab.core.plugins.plugin_utils.user_limits import group_problems, limit_problems, slips

PREFIX = "gpulab_"
NAME = re.compile(r"^[a-z_][a-z0-9_-]{0,30}$")
"""Login and group names that every tool of the distribution accepts (useradd(8): NAME_REGEX, at most 32 bytes)."""

HASH = re.compile(r"^\$(?:6|5|y|gy|2[aby]|7)\$[^:\s]+$")
"""Prefixes of crypt(5) that Debian and Ubuntu log in with; MD5 ($1$) and DES are too weak to be accepted."""

KEY_KINDS = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-", "sk-ssh-ed25519@", "sk-ecdsa-sha2-")
RESERVED = frozenset(
    ("root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc nobody").split(" ")  # noqa: SIM905
)
"""Accounts that every Debian has (base-passwd: /usr/share/base-passwd/passwd.master)."""
LEAST_UID = 1000
"""Below are the system's own accounts (login.defs(5): UID_MIN)."""


def unknown_names(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Find site-wide names that no role knows, each with the likeliest meant one."""
    allowed = sorted(known)
    found = []
    for name in sorted(set(names)):
        if name.startswith(PREFIX) and name not in allowed:
            # Without the prefix, which would make everything look alike.
            words = [each.removeprefix(PREFIX) for each in allowed]
            near = difflib.get_close_matches(name.removeprefix(PREFIX), words, n=1, cutoff=0.6)
            hint = f"did you mean {PREFIX}{near[0]}?" if near else "docs/variables.md lists them all."
            found.append(f"there is no setting {name}: {hint}")
    return found


def misspelt_options(names: Iterable[str], options: Mapping[str, Iterable[str]]) -> list[str]:
    """Find near-misses of the roles' own options; other users' variables with the same prefix pass.

    `options` holds the option names by role.
    """
    found = []
    known = {option for each in options.values() for option in each}
    for name in sorted(set(names) - known):
        prefix = next((role for role in options if name.startswith(f"{role}_")), None)
        if prefix and (near := difflib.get_close_matches(name, list(options[prefix]), n=1, cutoff=0.9)):
            found.append(f"{name} looks like a slip of the pen for {near[0]} (role {prefix}).")
    return found


def user_problems(
    users: Iterable[Mapping[str, Any]], groups: Iterable[str] = (), limits: Mapping[str, Any] | None = None
) -> list[str]:
    """Find what is wrong with the accounts, the groups (where they are a dictionary) and the default limits.

    Never repeats a password or a hash.
    """
    accounts = [user for user in users if isinstance(user, Mapping)]
    names = [str(user.get("name", "")) for user in accounts]
    found = [f"user {name} is named {count} times." for name, count in Counter(names).items() if count > 1]
    uids = Counter(user["uid"] for user in accounts if user.get("uid") is not None)
    found += [f"uid {uid} is given to {count} users." for uid, count in uids.items() if count > 1]
    for user, name in zip(accounts, names, strict=True):
        found += [f"user {name!r}: {problem}" for problem in _problems_of(user, name)]
    every_group = {str(group) for user in accounts for group in user.get("groups") or []} | set(groups)
    found += [f"group {group!r} is not an acceptable name." for group in sorted(every_group) if not NAME.match(group)]
    if isinstance(groups, Mapping):
        found += group_problems(groups)
    found += [f"users_limits: {problem}" for problem in limit_problems(limits or {})]
    return found + slips(every_group, groups)


def _problems_of(user: Mapping[str, Any], name: str) -> Iterable[str]:
    if not NAME.match(name):
        yield "a login name starts with a small letter and holds small letters, digits, - and _ only, at most 31."
    if name in RESERVED:
        yield "this is an account of the system."
    if "password" in user:
        yield "plain-text passwords are not accepted; give password_hash, as `openssl passwd -6` makes it."
    secret = user.get("password_hash")
    if secret and not HASH.match(str(secret)):
        yield "password_hash is no crypt hash (a plain-text password?); make one with `openssl passwd -6`."
    uid = user.get("uid")
    if uid is not None and not str(uid).isdecimal():
        yield f"uid {uid} is no number."
    elif uid is not None and int(uid) < LEAST_UID:
        yield f"uid {uid} belongs to the system; the least is {LEAST_UID}."
    for position, key in enumerate(user.get("ssh_keys") or [], start=1):
        if not is_public_key(str(key)):
            yield f"SSH key {position} is not a public key (one line that starts with ssh-ed25519, ssh-rsa ...)."
    limits = user.get("limits") or {}
    if isinstance(limits, Mapping):
        yield from limit_problems(limits)
    else:
        yield "limits is a dictionary with the keys cpu, memory, swap, tasks and disk."
    expires = user.get("expires")
    if expires and not is_day(str(expires)):
        yield f"expires: {expires} is not a day as 2027-03-31."


def is_day(text: str) -> bool:
    """Tell whether a text is a day as 2027-03-31."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_public_key(line: str) -> bool:
    """Tell whether a line is one public key of OpenSSH: a kind, and data that repeats the kind (RFC 4253, 6.6)."""
    fields = line.split()
    if len(fields) < 2 or not fields[0].startswith(KEY_KINDS) or "\n" in line.strip():
        return False
    try:
        data = base64.b64decode(fields[1], validate=True)
    except binascii.Error:
        return False
    length = int.from_bytes(data[:4], "big")
    return data[4 : 4 + length] == fields[0].encode()


def unbuilt(settings: Mapping[str, Any]) -> list[str]:
    """Reject settings that this release knows and cannot apply, rather than pass over them in silence."""
    built: dict[str, tuple[object, ...]] = {
        "gpulab_gpu_sharing": ("auto", "none"),
        "gpulab_cuda_versions": ([], None),
        "gpulab_conda": ("auto", "false", False),
    }
    return [
        f"{name}: {settings[name]!r} is not implemented yet; this release supports "
        f"{' and '.join(str(value) for value in values if value not in (None, False)) or 'nothing here'} only."
        for name, values in built.items()
        if name in settings and settings[name] not in values
    ]
