#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.account_state."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_state
author: The gpulab team (@gpulab)
short_description: In what a host's accounts and groups differ from the requested ones
description:
  - Reads the accounts, groups and homes of a host in one go and names those that differ, so that a play calls the
    modules that change them for these alone.
  - Only reads; behaves the same in check mode.
options:
  accounts:
    description: The requested accounts.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Login name.
        type: str
        required: true
      uid:
        description: Fixed user number.
        type: int
      groups:
        description: Groups that it must be in.
        type: list
        elements: str
        default: []
      password_hash:
        description: A crypt hash.
        type: str
      expires:
        description: Last day of the account, as 2027-03-31.
        type: str
  groups:
    description: Groups that must be there.
    type: list
    elements: str
    default: []
  owned:
    description: Groups whose members are those of O(accounts) whatever made the group, the group of all users first.
    type: list
    elements: str
    required: true
  record:
    description:
      - File in which the role remembers the groups that it made, the memberships that it granted and digests of the
        password hashes that it set. Other files C(*.json) next to it are those of other applications of the role.
      - This module reads it and returns its next texts.
    type: path
    required: true
  closing:
    description:
      - Whether accounts that leave the group of all users are closed. The account of this run's own session may not be
        one of them then.
    type: bool
    default: true
  shell:
    description: The login shell of users.
    type: path
    default: /bin/bash
extends_documentation_fragment: [gpulab.core.check_mode, gpulab.core.reads_only]
"""

EXAMPLES = r"""
- name: Compare with what is there
  gpulab.core.account_state:
    accounts:
      - {name: ada, groups: [staff, lab]}
    groups: [staff, lab]
    owned: [lab]
    record: /var/lib/gpulab/users/lab.json
"""

RETURN = r"""
missing_groups:
  description: Groups that are not there.
  type: list
  elements: str
  returned: always
differing:
  description: Names of accounts that are not there or not as requested.
  type: list
  elements: str
  returned: always
open_homes:
  description: Homes that others may enter, by name of the account.
  type: dict
  returned: always
expired:
  description: Names of accounts whose last day is over.
  type: list
  elements: str
  returned: always
new_passwords:
  description: Names of accounts whose configured hash was never set, or not since it changed.
  type: list
  elements: str
  returned: always
locked:
  description: Names of accounts that are locked and have a password; a lock stays.
  type: list
  elements: str
  returned: always
revoked:
  description: Memberships that are no longer requested, each with C(group) and C(name).
  type: list
  elements: dict
  returned: always
leavers:
  description: Names of accounts that are no longer in the group of all users.
  type: list
  elements: str
  returned: always
outdated:
  description: Names of accounts that run processes with a group that they are not in, or will not be in after this run.
  type: list
  elements: str
  returned: always
record:
  description: Texts of the record, C(before) anything is changed and C(after); null where the file has this text.
  type: dict
  returned: always
unreadable_homes:
  description: Names of accounts whose home root cannot read, such as a mount of the user's own.
  type: list
  elements: str
  returned: always
homes:
  description: Homes of accounts that lose access, by name of the account.
  type: dict
  returned: always
"""

import grp
import os
import pwd
import stat
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils import memberships as rules
from ansible_collections.gpulab.core.plugins.module_utils.processes import ancestors, processes
from ansible_collections.gpulab.core.plugins.module_utils.safe_paths import unsafe_directory
from ansible_collections.gpulab.core.plugins.module_utils.shadow import SHADOW, host_members, shadow

FIRST_DAY = date(1970, 1, 1)
PRIVATE = 0o700


def expiry_day(last: str | None) -> int | None:
    """Give shadow's day for a requested last day: pam_unix rejects from that day on, so it is the day after."""
    return (date.fromisoformat(last) + timedelta(days=1) - FIRST_DAY).days if last else None


def differs(
    setting: Mapping[str, Any],
    entry: pwd.struct_passwd | None,
    expires: int | None,
    memberships: Mapping[str, Set[str]],
    shell: str,
) -> bool:
    """Tell whether an account is not as requested, its password apart. Groups that it is in besides do not matter."""
    if entry is None or entry.pw_shell != shell or home_state(Path(entry.pw_dir)) == "missing":
        return True
    if any(setting["name"] not in memberships.get(group, frozenset()) for group in setting.get("groups") or []):
        return True
    return expiry_day(setting.get("expires")) != expires


def home_state(home: Path) -> str:
    """Return `there`, `missing`, or why root cannot read a home (a user's own mount, a server that does not answer)."""
    try:
        return "there" if stat.S_ISDIR(home.stat().st_mode) else "missing"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return str(error.strerror)


def open_homes(names: Sequence[str], entries: Mapping[str, pwd.struct_passwd]) -> dict[str, str]:
    """Return homes that others may enter, by name of the account; what is not a directory itself is left alone."""
    found = {}
    for name in names:
        if name not in entries:
            continue
        try:
            mode = Path(entries[name].pw_dir).lstat().st_mode
        except OSError:
            continue
        if stat.S_ISDIR(mode) and stat.S_IMODE(mode) != PRIVATE:
            found[name] = entries[name].pw_dir
    return found


def unsafe_homes(homes: Mapping[str, str]) -> dict[str, str]:
    """Return why root must not change the mode of a home by its path, by name of the account."""
    return {
        name: f"{home} stays open: other accounts can replace what is in {unsafe}. Close both yourself."
        for name, home in homes.items()
        if (unsafe := unsafe_directory(Path(home).parent))
    }


def outdated(
    names: Iterable[str], entries: Mapping[str, pwd.struct_passwd], allowed: Mapping[int, Set[str]]
) -> set[str]:
    """Return the names of accounts with a process that holds a group in which they may not be.

    `allowed` are the members by gid; other groups do not matter, and neither does an account's own.
    """
    uids = {entries[name].pw_uid: entries[name] for name in names if name in entries}
    return {
        entry.pw_name
        for process in processes()
        for uid in process.uids
        if (entry := uids.get(uid))
        and any(gid != entry.pw_gid and entry.pw_name not in allowed.get(gid, {entry.pw_name}) for gid in process.gids)
    }


def main() -> None:
    """Run the module."""
    account = {
        "name": {"type": "str", "required": True},
        "uid": {"type": "int"},
        "groups": {"type": "list", "elements": "str", "default": []},
        "password_hash": {"type": "str", "no_log": True},
        "expires": {"type": "str"},
    }
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "dict", "required": True, "options": account},
            "groups": {"type": "list", "elements": "str", "default": []},
            "owned": {"type": "list", "elements": "str", "required": True},
            "record": {"type": "path", "required": True},
            "closing": {"type": "bool", "default": True},
            "shell": {"type": "path", "default": "/bin/bash"},
        },
        supports_check_mode=True,
    )
    wished, owned, path = module.params["accounts"], module.params["owned"], Path(module.params["record"])
    names = [account["name"] for account in wished]
    entries = {entry.pw_name: entry for entry in pwd.getpwall()}
    every = host_members()
    host = {entry.gr_name: rules.Group(entry.gr_gid, frozenset(every[entry.gr_name])) for entry in grp.getgrall()}
    secrets = shadow(SHADOW.read_text(encoding="utf-8"))
    requested: rules.Members = {group: set() for group in [*owned, *module.params["groups"]]}
    for setting in wished:
        for group in setting["groups"]:
            requested.setdefault(group, set()).add(setting["name"])
    try:
        record, others = rules.stored(path), rules.granted_by_others(path)
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"Nothing was changed: {error}")
    known = record or rules.Record()
    primary = {entry.pw_gid for entry in entries.values()}
    plan = rules.plan(record, requested, host, owned, primary, others)

    # Passwords.
    configured = {setting["name"]: setting["password_hash"] for setting in wished if setting["password_hash"]}
    fields = {name: secrets[name][0] if name in secrets and name in entries else None for name in names}
    before = host[owned[0]].members if plan.upgraded else frozenset()
    new_passwords = [
        name
        for name, value in configured.items()
        if rules.sets_password(value, fields[name], known.passwords.get(name), name in before)
    ]
    after = rules.remembered(configured, names, entries, known)
    until_set = {name: value for name, value in after.items() if name not in new_passwords}
    until_set |= {name: known.passwords[name] for name in new_passwords if name in known.passwords}
    text = path.read_text(encoding="utf-8") if record else ""
    first = plan.record_before(known, requested, until_set).text()
    last = rules.Record(plan.made, requested, after).text()

    homes = open_homes(names, entries)
    unsafe = unsafe_homes(homes)
    warnings = list(unsafe.values())
    own = [name for name, value in configured.items() if name in before and fields[name] != value]
    warnings += [
        f"{name}: the password on the host is not the one of the inventory. It counts as the user's own and was kept; "
        "a new password_hash resets it."
        for name in own
        if name not in new_passwords
    ]

    leavers = [name for group, name in plan.revoked if group == owned[0] and name in entries]
    allowed = {host[group].gid: members for group, members in plan.allowed.items()}
    watched = {*names, *(name for members in known.members.values() for name in members)} | set(leavers)
    ended = outdated(watched, entries, allowed)
    running = ancestors(os.getpid())
    for name in sorted(entry.pw_name for entry in entries.values() if entry.pw_uid in running):
        if name in leavers and module.params["closing"]:
            module.fail_json(
                msg=f"Nothing was changed: {name} is no longer listed, and this run is logged in as {name}. Connect as "
                "another account, or list it again."
            )
        if name not in ended:
            continue
        ended.discard(name)
        warnings.append(f"{name}: this run's own session still holds a revoked group. Log out, and run again.")
    unreadable = {
        name: state
        for name in names
        if name in entries and (state := home_state(Path(entries[name].pw_dir))) not in ("there", "missing")
    }
    warnings += [
        f"{entries[name].pw_dir} cannot be read ({state}) and is left as it is. Unmount it."
        for name, state in unreadable.items()
    ]
    made = {host[group].gid: group for group in {*plan.made, *owned} & set(host)}
    warnings += [
        f"{entry.pw_name}: the account's own group is {made[entry.pw_gid]}, from which it cannot be removed. Give it "
        f"another one: usermod --gid GROUP {entry.pw_name}"
        for entry in entries.values()
        if entry.pw_gid in made and entry.pw_name not in requested.get(made[entry.pw_gid], set())
    ]
    for warning in warnings:
        module.warn(warning)
    memberships = {entry.gr_name: frozenset(entry.gr_mem) for entry in grp.getgrall()}
    today = int(time.time() // 86400)
    module.exit_json(
        changed=False,
        missing_groups=[name for name in module.params["groups"] if name not in host],
        differing=[
            setting["name"]
            for setting in wished
            if setting["name"] in new_passwords
            or differs(
                setting,
                entries.get(setting["name"]),
                secrets.get(setting["name"], ("", None))[1],
                memberships,
                module.params["shell"],
            )
        ],
        new_passwords=new_passwords,
        locked=[name for name in names if rules.is_locked(fields[name])],
        open_homes={name: home for name, home in homes.items() if name not in unsafe},
        expired=[
            setting["name"]
            for setting in wished
            if (day := expiry_day(setting.get("expires"))) is not None and day <= today
        ],
        revoked=[{"group": group, "name": name} for group, name in plan.revoked],
        leavers=leavers,
        outdated=sorted(ended),
        unreadable_homes=list(unreadable),
        homes={
            name: entries[name].pw_dir
            for name in {*leavers, *ended, *(name for _group, name in plan.revoked)}
            if name in entries
        },
        record={"before": first if first != text else None, "after": last if last != first else None},
    )


if __name__ == "__main__":
    main()
