"""Site variables and role options: which names exist, and what is wrong with the values that a site gives them.

Pure functions; problems come back as sentences.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.gpulab.core.plugins.plugin_utils.user_limits import group_problems, limit_problems, slips

ROLES = Path(__file__).resolve().parents[2] / "roles"
PREFIX = "gpulab_"
DEFAULT = re.compile(r"^\{\{ (gpulab_\w+) \| default\(.*\)(?: \| \w+)* \}\}$")
"""Default of a role option that is a site variable, as roles/*/defaults/main.yml writes it."""
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


def role_options(roles: Path = ROLES) -> dict[str, dict[str, Any]]:
    """Return the options of every role, by role and option name, as its argument specification describes them."""
    options: dict[str, dict[str, Any]] = {}
    for path in sorted(roles.glob("*/meta/argument_specs.yml")):
        entry_points = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values()
        options[path.parents[1].name] = {
            name: option for entry in entry_points for name, option in (entry.get("options") or {}).items()
        }
    return options


def site_variables(roles: Path = ROLES) -> dict[str, dict[str, Any]]:
    """Return the specification of every site variable that is the default of a role option.

    The specification is that of the option, with the key `option` for its name. Where several roles use one variable,
    the first role by name counts; a unit test compares their types.
    """
    variables: dict[str, dict[str, Any]] = {}
    for role, options in role_options(roles).items():
        defaults = roles / role / "defaults" / "main.yml"
        values = (yaml.safe_load(defaults.read_text(encoding="utf-8")) or {}) if defaults.is_file() else {}
        for option, value in values.items():
            match = DEFAULT.match(str(value).strip())
            if match and option in options:
                variables.setdefault(match[1], {**options[option], "option": option})
    return variables


def unknown_names(names: Iterable[str], allowed: Iterable[str]) -> list[str]:
    """Report names with the prefix of site variables that do not exist, each with the most similar one that does."""
    known = sorted(allowed)
    problems = []
    for name in sorted(set(names)):
        if name.startswith(PREFIX) and name not in known:
            # Compared without the prefix, which would make all names similar.
            words = [variable.removeprefix(PREFIX) for variable in known]
            similar = difflib.get_close_matches(name.removeprefix(PREFIX), words, n=1, cutoff=0.6)
            hint = (
                f"Did you mean {PREFIX}{similar[0]}?" if similar else "docs/reference/variables.md lists all variables."
            )
            problems.append(f"{name} is not a variable of gpulab. {hint}")
    return problems


def misspelt_options(names: Iterable[str], options: Mapping[str, Iterable[str]]) -> list[str]:
    """Report names that differ by a letter or two from a role option; other variables with a role's prefix pass.

    `options` holds the option names by role.
    """
    problems = []
    known = {option for names_of_role in options.values() for option in names_of_role}
    for name in sorted(set(names) - known):
        role = next((role for role in options if name.startswith(f"{role}_")), None)
        if role and (similar := difflib.get_close_matches(name, list(options[role]), n=1, cutoff=0.9)):
            problems.append(f"{name} is unknown. Did you mean {similar[0]} (role {role})?")
    return problems


def renamed_names(variables: Mapping[str, Any], renamed: Mapping[str, str]) -> list[str]:
    """Report variables and keys that were renamed, with their new names.

    `renamed` maps old to new names. A name with dots is a key of a dictionary, a star any key:
    `gpulab_groups.*.shared_folder`.
    """
    return [
        f"{'.'.join(path)} was renamed: write {_replaced(path, new)} (playbooks/migrate.yml changes an inventory)."
        for old, new in renamed.items()
        for path in _paths(variables, old.split("."))
    ]


def _paths(value: Any, pattern: Sequence[str]) -> Iterable[list[str]]:
    """Return the paths of keys in nested dictionaries that fit a pattern."""
    if not pattern:
        yield []
    elif isinstance(value, Mapping):
        for key in list(value) if pattern[0] == "*" else [pattern[0]]:
            if key in value:
                yield from ([str(key), *rest] for rest in _paths(value[key], pattern[1:]))


def _replaced(path: Sequence[str], new: str) -> str:
    """Return the new name with the keys of a path in place of its stars."""
    return ".".join(key if part == "*" else part for key, part in zip(path, new.split("."), strict=True))


def reserved_problems(variables: Mapping[str, Any], reserved: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Report values of reserved variables that this release does not support.

    `reserved` holds by name what a value `needs` and which values are `accepted` nevertheless.
    """
    return [
        f"{name}: {variables[name]!r} needs {entry['needs']}, which is not implemented in this release. "
        f"Remove the variable, or set it to {' or '.join(map(repr, entry['accepted'][:2]))}."
        for name, entry in reserved.items()
        if name in variables and variables[name] is not None and variables[name] not in entry["accepted"]
    ]


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


def hub_problems(address: str, tls: Mapping[str, Any], networks: Sequence[str] = ()) -> list[str]:
    """Report combinations of address and certificate that would be unsafe, and networks that are none."""
    mode = tls.get("mode") or "generated"
    found = []
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        return [f"gpulab_hub_address: {address!r} is not an IP address."]
    if mode == "none" and not loopback:
        found.append(
            f"gpulab_hub_address {address} without TLS would send passwords in the clear: "
            "choose gpulab_tls.mode generated or own, or listen on 127.0.0.1."
        )
    if mode == "own" and not (tls.get("certificate") and tls.get("key")):
        found.append("gpulab_tls.mode own needs gpulab_tls.certificate and gpulab_tls.key.")
    if mode == "acme":
        found.append("gpulab_tls.mode acme is not implemented yet: choose generated or own.")
    for network in networks:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            found.append(
                f"gpulab_login_allow_list: {network!r} is not an address or a network: "
                "write 192.0.2.1 or 192.0.2.0/24, say."
            )
    return found
