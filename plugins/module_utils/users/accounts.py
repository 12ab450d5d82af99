# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts and groups of a host, and their differences from requested ones. Internal to gpulab.core."""

from __future__ import annotations

import grp
import pwd
import re
import stat
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from ansible_collections.gpulab.core.plugins.module_utils.common.safe_paths import unsafe_directory
from ansible_collections.gpulab.core.plugins.module_utils.common.shadow import SHADOW, Record, records
from ansible_collections.gpulab.core.plugins.module_utils.users.groups import host_members
from ansible_collections.gpulab.core.plugins.module_utils.users.memberships import Group
from ansible_collections.gpulab.core.plugins.module_utils.users.processes import processes

FIRST_DAY = date(1970, 1, 1)
MIN_UID = 1000
"""Smaller uids belong to system accounts (login.defs(5): UID_MIN)."""
NOBODY = 65534
NAME = re.compile(r"^[a-z_][a-z0-9_-]{0,30}\Z")
"""Login and group names that every tool of the distribution creates (useradd(8): NAME_REGEX, at most 32 bytes)."""
PRIVATE = 0o700

Entries = Mapping[str, pwd.struct_passwd]


@dataclass(frozen=True)
class Host:
    """Accounts and groups of a host.

    `groups` has the members of group(5) and gshadow(5), `members` those of group(5) alone.
    """

    accounts: dict[str, pwd.struct_passwd]
    groups: dict[str, Group]
    members: dict[str, frozenset[str]]
    shadow: dict[str, Record]

    @classmethod
    def read(cls) -> Host:
        """Return this host's accounts and groups."""
        every = host_members()
        groups = grp.getgrall()
        return cls(
            {entry.pw_name: entry for entry in pwd.getpwall()},
            {entry.gr_name: Group(entry.gr_gid, frozenset(every[entry.gr_name])) for entry in groups},
            {entry.gr_name: frozenset(entry.gr_mem) for entry in groups},
            records(SHADOW.read_text(encoding="utf-8")),
        )

    def password_field(self, name: str) -> str | None:
        """Return the password field of an account, None without one."""
        return self.shadow[name].password if name in self.shadow and name in self.accounts else None

    def expiry(self, name: str) -> int | None:
        """Return the day on which an account expires, in days since 1970, None without one."""
        return self.shadow[name].expires if name in self.shadow else None


def account_problems(
    requested: Sequence[Mapping[str, Any]], entries: Iterable[pwd.struct_passwd], home_root: Path = Path("/home")
) -> list[str]:
    """Return a sentence for each requested account that would overwrite or renumber something on the host."""
    entries = list(entries)
    by_name = {entry.pw_name: entry for entry in entries}
    by_uid = {entry.pw_uid: entry for entry in entries}
    problems = []
    for account in requested:
        name, uid = account["name"], account.get("uid")
        entry = by_name.get(name)
        if entry and (entry.pw_uid < MIN_UID or entry.pw_uid == NOBODY):
            problems.append(f"user {name} is a system account of the host (uid {entry.pw_uid}). Choose another name.")
        elif entry and uid is not None and entry.pw_uid != uid:
            problems.append(
                f"user {name} exists with uid {entry.pw_uid}, not {uid}. Set uid {entry.pw_uid} in users_accounts "
                "(gpulab_users), or change the uid on the host."
            )
        elif not entry and uid in by_uid:
            problems.append(f"uid {uid}, requested for {name}, belongs to {by_uid[uid].pw_name}. Choose another uid.")
        elif not entry and not NAME.match(name):
            problems.append(
                f"user {name} does not exist on the host, and an account of this name cannot be created: a login name "
                "starts with a small letter and holds small letters, digits, - and _ only, at most 31."
            )
        elif not entry and (home_root / name).exists():
            problems.append(
                f"{home_root / name} exists and user {name} does not. Move it away, or create the account on the host."
            )
    return problems


def group_problems(requested: Iterable[str], groups: Iterable[str]) -> list[str]:
    """Return a sentence for each requested group that the host neither has nor can create."""
    return [
        f"group {name} does not exist on the host, and a group of this name cannot be created: use small letters, "
        "digits, - and _, at most 31."
        for name in sorted(set(requested) - set(groups))
        if not NAME.match(name)
    ]


def name_warnings(names: Iterable[str]) -> list[str]:
    """Return a warning for each account that JupyterHub cannot log in, because it reads names in small letters."""
    return [
        f"{name}: the hub logs in names in small letters only, so this account can use SSH and not the hub."
        for name in names
        if name != name.lower()
    ]


def shared_directory_problems(paths: Sequence[Path]) -> list[str]:
    """Return a sentence for each path where root must not create a directory for a group."""
    parents = list(dict.fromkeys(path.parent for path in paths))
    problems = [
        f"{path} exists and is not a directory. Move it away."
        for path in [*parents, *paths]
        if path.is_symlink() or (path.exists() and not path.is_dir())
    ]
    return problems + [
        f"{parent}: other accounts can replace what is in {unsafe}, so root creates no directories there. Give "
        f"{unsafe} to root without write access of its group or others, or set users_shared_path."
        for parent in parents
        if (unsafe := unsafe_directory(parent))
    ]


def expiry_day(last: str | None) -> int | None:
    """Return shadow's day for a requested last day: pam_unix rejects from that day on, so it is the day after."""
    return (date.fromisoformat(last) + timedelta(days=1) - FIRST_DAY).days if last else None


def differs(
    requested: Mapping[str, Any],
    entry: pwd.struct_passwd | None,
    expires: int | None,
    memberships: Mapping[str, Set[str]],
    shell: str,
) -> bool:
    """Return whether an account differs from the requested one, its password and further groups apart."""
    if entry is None or entry.pw_shell != shell or home_state(Path(entry.pw_dir)) == "missing":
        return True
    if any(requested["name"] not in memberships.get(group, frozenset()) for group in requested.get("groups") or []):
        return True
    return expiry_day(requested.get("expires")) != expires


def home_state(home: Path) -> str:
    """Return `present`, `missing`, or why root cannot read a home (a user's own mount, a server without an answer)."""
    try:
        return "present" if stat.S_ISDIR(home.stat().st_mode) else "missing"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return str(error.strerror)


def open_homes(names: Sequence[str], entries: Entries) -> dict[str, str]:
    """Return homes that others may enter, by user; a home that is not a directory itself is left out."""
    homes = {}
    for name in names:
        if name not in entries:
            continue
        try:
            mode = Path(entries[name].pw_dir).lstat().st_mode
        except OSError:
            continue
        if stat.S_ISDIR(mode) and stat.S_IMODE(mode) != PRIVATE:
            homes[name] = entries[name].pw_dir
    return homes


def unsafe_homes(homes: Mapping[str, str]) -> dict[str, str]:
    """Return why root must not change the mode of a home by its path, by user."""
    return {
        name: f"{home} stays open: other accounts can replace what is in {unsafe}. Close both yourself."
        for name, home in homes.items()
        if (unsafe := unsafe_directory(Path(home).parent))
    }


def outdated(names: Iterable[str], entries: Entries, allowed: Mapping[int, Set[str]]) -> set[str]:
    """Return the users with a process that holds a group in which they may not be.

    `allowed` are the members by gid; other groups do not matter, and neither does a user's own group.
    """
    uids = {entries[name].pw_uid: entries[name] for name in names if name in entries}
    return {
        entry.pw_name
        for process in processes()
        for uid in process.uids
        if (entry := uids.get(uid))
        and any(gid != entry.pw_gid and entry.pw_name not in allowed.get(gid, {entry.pw_name}) for gid in process.gids)
    }
