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
PASSWD = Path("/etc/passwd")
GROUP = Path("/etc/group")
NSSWITCH = Path("/etc/nsswitch.conf")
LOCAL_SERVICES = frozenset(("files", "compat", "systemd"))
"""Services of nsswitch.conf(5) that need no other machine."""
NO_LOGIN = ("/nologin", "/false")
"""Ends of login shells with which no session starts."""

Entries = Mapping[str, pwd.struct_passwd]


def named(names: Iterable[str]) -> dict[str, pwd.struct_passwd]:
    """Return the accounts with these names.

    Each name is looked up: a directory service, such as SSSD, does not list its accounts. It may return an account
    under another spelling, which counts as another account.
    """
    entries = {}
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_name == name:
            entries[name] = entry
    return entries


def numbered(uids: Iterable[int]) -> dict[str, pwd.struct_passwd]:
    """Return the accounts with these uids, each looked up."""
    entries = {}
    for uid in uids:
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            continue
        entries[entry.pw_name] = entry
    return entries


def is_protected(entry: pwd.struct_passwd) -> bool:
    """Return whether an account is one of the system: it is never closed, and its processes are never ended."""
    return entry.pw_uid < MIN_UID or entry.pw_uid == NOBODY


def directory_services(text: str) -> list[str]:
    """Return the services of accounts that are not local, from the text of nsswitch.conf(5)."""
    lines = [line.partition("#")[0].split() for line in text.splitlines()]
    words = [word for line in lines if line and line[0] == "passwd:" for word in line[1:]]
    return [word for word in words if word not in LOCAL_SERVICES and not word.startswith("[")]


def services() -> tuple[str, ...]:
    """Return the services of this host's accounts that are not local."""
    return tuple(directory_services(NSSWITCH.read_text(encoding="utf-8"))) if NSSWITCH.exists() else ()


@dataclass(frozen=True)
class Host:
    """Accounts and groups of a host.

    `groups` has the members of group(5) and gshadow(5), `members` those of group(5) alone. `local` are the accounts of
    passwd(5), the only ones that the tools of the distribution change; others belong to a directory.
    """

    accounts: dict[str, pwd.struct_passwd]
    groups: dict[str, Group]
    members: dict[str, frozenset[str]]
    shadow: dict[str, Record]
    local: frozenset[str] = frozenset()
    services: tuple[str, ...] = ()

    @classmethod
    def read(cls, names: Iterable[str] = (), uids: Iterable[int] = ()) -> Host:
        """Return this host's accounts and groups; those of a directory as far as `names` and `uids` name them."""
        every = host_members()
        groups = grp.getgrall()
        members = {name for group in every.values() for name in group}
        return cls(
            {
                **numbered(uids),
                **named({*names, *members}),
                **{entry.pw_name: entry for entry in pwd.getpwall()},
            },
            {entry.gr_name: Group(entry.gr_gid, frozenset(every[entry.gr_name])) for entry in groups},
            {entry.gr_name: frozenset(entry.gr_mem) for entry in groups},
            records(SHADOW.read_text(encoding="utf-8")),
            local_names(PASSWD),
            services(),
        )

    def directory(self, names: Iterable[str]) -> list[str]:
        """Return which of these users have an account of a directory."""
        return [name for name in names if name in self.accounts and name not in self.local]

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
        if entry and is_protected(entry):
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
        elif not entry and (owner := home_owner(home_root / name)) is not None and owner != uid:
            keep = (
                f"Set uid {owner} in users_accounts (gpulab_users) to keep it, or move" if owner >= MIN_UID else "Move"
            )
            problems.append(f"{home_root / name} (uid {owner}) exists and user {name} does not. {keep} it away.")
    return problems


def home_owner(path: Path) -> int | None:
    """Return the uid of the path of a home, None where nothing is there. A link or a file belongs to root."""
    try:
        state = path.lstat()
    except FileNotFoundError:
        return None
    except OSError:
        return 0
    return state.st_uid if stat.S_ISDIR(state.st_mode) else 0


def directory_problems(requested: Sequence[Mapping[str, Any]], host: Host, known: Set[str]) -> list[str]:
    """Return a sentence for each account whose directory decides on what is requested, or does not answer.

    `known` are the users of the role's last run.
    """
    problems = []
    for account in requested:
        name = account["name"]
        settings = [key for key in ("password_hash", "expires") if account.get(key)]
        if settings and name in host.directory([name]):
            problems.append(
                f"user {name} is an account of a directory ({' '.join(host.services)}), which decides on its "
                f"{' and '.join(settings)}. Remove that from {name} in users_accounts (gpulab_users)."
            )
        elif name in known and name not in host.accounts and host.services:
            problems.append(
                f"user {name} had an account when the role was last applied, and has none now. If it belongs to the "
                f"directory ({' '.join(host.services)}), check its service: `getent passwd {name}`. If it was "
                "removed, remove the user from users_accounts (gpulab_users), and run again."
            )
    return problems


def directory_groups(names: Iterable[str], local: Set[str]) -> list[str]:
    """Return a sentence for each requested group that belongs to a directory. `local` are the groups of group(5)."""
    problems = []
    for name in names:
        if name in local:
            continue
        try:
            gid = grp.getgrnam(name).gr_gid
        except KeyError:
            continue
        problems.append(
            f"group {name} (gid {gid}) belongs to a directory, where its members are set. Choose another name in "
            "users_groups (gpulab_groups) and in the groups of users, or use a group of the host."
        )
    return problems


def local_names(path: Path) -> frozenset[str]:
    """Return the first fields of the lines of passwd(5) or group(5)."""
    return frozenset(line.partition(":")[0] for line in path.read_text(encoding="utf-8").splitlines())


def login_warnings(names: Iterable[str], host: Host) -> list[str]:
    """Return a warning for each account whose login shell lets no session start; it stays as it is."""
    return [
        f"{name}: the login shell is {entry.pw_shell}, with which no session over SSH starts. To change it: chsh {name}"
        for name in names
        if (entry := host.accounts.get(name)) and entry.pw_shell.endswith(NO_LOGIN)
    ]


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
    memberships: Mapping[str, Set[str]],
) -> bool:
    """Return whether an account differs from the requested one; password, expiry, shell and further groups apart."""
    if entry is None or home_state(Path(entry.pw_dir)) == "missing":
        return True
    return bool(missing_groups(requested, memberships))


def missing_groups(requested: Mapping[str, Any], memberships: Mapping[str, Set[str]]) -> list[str]:
    """Return the requested groups in which an account is not."""
    groups = requested.get("groups") or []
    return [group for group in groups if requested["name"] not in memberships.get(group, frozenset())]


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
