#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module gpulab.core.account_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_info
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Compare accounts, groups and homes of a host with the requested ones
description:
  - Reads passwd(5), group(5), shadow(5), gshadow(5), homes, C(/proc) and the role's record on the managed host, and
    returns what differs from the requested accounts, so that a play runs the modules that change them for these alone.
  - Fails where an account must not be adopted, and names all such accounts in one message.
  - Looks up each account by its name, so that accounts of a directory service (SSSD, LDAP) count, which does not list
    them. Their password, shell and expiry are the directory's.
  - System accounts, and accounts that Ansible is connected with, are never among those to close.
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
        description: Required groups of the account.
        type: list
        elements: str
        default: []
      password_hash:
        description: A crypt hash.
        type: str
      password_update:
        description: When the hash is set, as in the option C(users_accounts) of the role P(gpulab.core.users#role).
        type: str
        choices: [changed, on_create, always]
        default: changed
      password_temporary:
        description: Whether the user must change this password at the first login.
        type: bool
        default: false
      expires:
        description: Last day of the account, as 2027-03-31.
        type: str
  groups:
    description: Required groups of the host.
    type: list
    elements: str
    default: []
  owned:
    description: Groups that have no members but those of O(accounts), the group of all users first.
    type: list
    elements: str
    required: true
  record:
    description:
      - File with the groups that the role created, the memberships that it granted and digests of the password hashes
        that it set. Other files C(*.json) in its directory belong to other applications of the role.
      - This module reads it and returns its next texts.
    type: path
    required: true
  closing:
    description:
      - Whether accounts that leave the group of all users are closed. The account of this run's own session must not be
        one of them then.
    type: bool
    default: true
  confirmed_removals:
    description:
      - Number of users who may leave the group of all users in this run. Where at least five and more than a third of
        the group leave, the module fails with their number unless it is this one.
      - Not checked where it is not set.
    type: int
  shared_directories:
    description: Directories that root creates for groups. Other accounts must not be able to replace them.
    type: list
    elements: path
    default: []
extends_documentation_fragment: [gpulab.core.check_mode, gpulab.core.reads_only]
"""

EXAMPLES = r"""
- name: Preflight | Compare the accounts with those of the host
  gpulab.core.account_info:
    accounts:
      - {name: ada, groups: [staff, lab]}
    groups: [staff, lab]
    owned: [lab]
    record: /var/lib/gpulab/users/lab.json
"""

RETURN = r"""
missing_groups:
  description: Groups that do not exist.
  type: list
  elements: str
  returned: success
  sample: [lab]
differing:
  description: Users whose account does not exist or differs from the requested one.
  type: list
  elements: str
  returned: success
  sample: [ada]
kept_expiries:
  description: Users whose day of expiry was set by hand; it stays.
  type: list
  elements: str
  returned: success
  sample: []
directory:
  description: Users and leavers whose account belongs to a directory service.
  type: list
  elements: str
  returned: success
  sample: []
directory_memberships:
  description: Missing memberships of these users.
  type: list
  elements: dict
  returned: success
  contains:
    group:
      description: Name of the group.
      type: str
    name:
      description: Name of the user.
      type: str
  sample: [{group: lab, name: noether}]
directory_homes:
  description: Missing homes of these users.
  type: dict
  returned: success
  sample: {noether: /home/noether}
uids:
  description: Number of each requested user who has an account.
  type: dict
  returned: success
  sample: {ada: 1001}
open_homes:
  description: Homes that others may enter, by user.
  type: dict
  returned: success
  sample: {ada: /home/ada}
unreadable_homes:
  description: Users whose home root cannot read, such as a mount of the user's own.
  type: list
  elements: str
  returned: success
  sample: []
expired:
  description: Users whose last day is over.
  type: list
  elements: str
  returned: success
  sample: []
new_passwords:
  description: Users whose configured hash was never set, or not since it changed.
  type: list
  elements: str
  returned: success
  sample: [ada]
temporary_passwords:
  description: Users who must change a password that is set now or still is the configured one, and need not yet.
  type: list
  elements: str
  returned: success
  sample: []
locked:
  description: Users whose account is locked and has a password; a lock stays.
  type: list
  elements: str
  returned: success
  sample: []
revoked:
  description: Memberships that are no longer requested.
  type: list
  elements: dict
  returned: success
  contains:
    group:
      description: Name of the group.
      type: str
    name:
      description: Name of the user.
      type: str
  sample: [{group: lab, name: eve}]
leavers:
  description: Users who leave the group of all users.
  type: list
  elements: str
  returned: success
  sample: [eve]
outdated:
  description: Users with processes that hold a group in which they are not, or will not be after this run.
  type: list
  elements: str
  returned: success
  sample: []
homes:
  description: Homes of users who lose access, by user.
  type: dict
  returned: success
  sample: {eve: /home/eve}
record:
  description: Texts of the record; null where the file already has the text.
  type: dict
  returned: success
  contains:
    before:
      description: Text to write before any change.
      type: str
    after:
      description: Text to write after all changes.
      type: str
  sample: {before: null, after: null}
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.common import host_state
from ansible_collections.gpulab.core.plugins.module_utils.users import accounts as rules
from ansible_collections.gpulab.core.plugins.module_utils.users import memberships
from ansible_collections.gpulab.core.plugins.module_utils.users.processes import ancestors

Requested = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Passwords:
    """Passwords to set: users with a new hash, digests to record before it is set and after, and warnings."""

    new: list[str]
    before: dict[str, str]
    after: dict[str, str]
    warnings: list[str]


@dataclass(frozen=True)
class Expiries:
    """Days of expiry to set: users with a new one, users who keep one set by hand, the next record, and warnings."""

    new: list[str]
    kept: list[str]
    after: dict[str, int | None]
    warnings: list[str]


def requested_members(accounts: Requested, groups: Sequence[str]) -> memberships.Members:
    """Return the requested members by group, groups without members included."""
    members: memberships.Members = {group: set() for group in groups}
    for account in accounts:
        for group in account["groups"]:
            members.setdefault(group, set()).add(account["name"])
    return members


def compare_passwords(
    accounts: Requested, host: rules.Host, record: memberships.Record, members_before: frozenset[str]
) -> Passwords:
    """Return which passwords to set. `members_before` were users before the host had a record."""
    configured = {account["name"]: account["password_hash"] for account in accounts if account["password_hash"]}
    updates = {account["name"]: account["password_update"] for account in accounts}
    fields = {name: host.password_field(name) for name in configured}
    new = [
        name
        for name, value in configured.items()
        if memberships.sets_password(
            value, fields[name], record.passwords.get(name), name in members_before, updates[name]
        )
    ]
    after = memberships.remembered(configured, [account["name"] for account in accounts], host.accounts, record)
    before = {name: value for name, value in after.items() if name not in new}
    before |= {name: record.passwords[name] for name in new if name in record.passwords}
    warnings = [
        f"{name}: the password on the host is not the one of the inventory. It counts as the user's own and was kept; "
        "a new password_hash resets it."
        for name, value in configured.items()
        if name in members_before and fields[name] != value and name not in new and updates[name] == "changed"
    ]
    return Passwords(new, before, after, warnings)


def compare_expiries(accounts: Requested, host: rules.Host, record: memberships.Record | None, group: str) -> Expiries:
    """Return which days of expiry to set. `group` is the group of all users."""
    result = Expiries([], [], {}, [])
    for account in accounts:
        name, day = account["name"], rules.expiry_day(account["expires"])
        now = host.expiry(name)
        result.after[name] = day
        if memberships.keeps_expiry(now, day, record, name, group):
            result.kept.append(name)
            last = "never" if now is None else f"on {rules.FIRST_DAY + timedelta(days=now)}"
            result.warnings.append(
                f"{name}: the account expires {last}, which was set on the host and is kept. To change it, set expires "
                f"in users_accounts (gpulab_users), or: chage --expiredate -1 {name}"
            )
        elif now != day:
            result.new.append(name)
    return result


def lock_warnings(names: Sequence[str], host: rules.Host) -> list[str]:
    """Return a warning for each account that was locked by hand: its keys still open it."""
    return [
        f"{name}: the password is locked on the host and stays locked. SSH keys still open the account. To close it, "
        f"set state: absent in users_accounts (gpulab_users); to unlock it: usermod --unlock {name}"
        for name in names
        if memberships.is_locked(host.password_field(name))
    ]


def temporary_passwords(accounts: Requested, host: rules.Host, new: Sequence[str]) -> list[str]:
    """Return the users who must change their password at the next login, and for whom the host does not say so yet."""
    return [
        account["name"]
        for account in accounts
        if account["password_temporary"]
        and account["password_hash"]
        and (
            account["name"] in new
            or (
                (host.password_field(account["name"]) or "").lstrip("!") == account["password_hash"]
                and host.shadow[account["name"]].changed != 0
            )
        )
    ]


def primary_group_warnings(host: rules.Host, owned: set[str], requested: memberships.Members) -> list[str]:
    """Return a warning for each account whose own group is one of the role's, from which it cannot be removed."""
    names = {host.groups[group].gid: group for group in owned & set(host.groups)}
    return [
        f"{entry.pw_name}: the account's own group is {names[entry.pw_gid]}, from which it cannot be removed. Give it "
        f"another one: usermod --gid GROUP {entry.pw_name}"
        for entry in host.accounts.values()
        if entry.pw_gid in names and entry.pw_name not in requested.get(names[entry.pw_gid], set())
    ]


def own_session(
    host: rules.Host, leavers: Sequence[str], outdated: set[str], closing: bool
) -> tuple[str, list[str], list[str]]:
    """Return why this run would end its own session, the users of it that are not ended, and warnings for them."""
    running = ancestors(os.getpid())
    names = sorted(entry.pw_name for entry in host.accounts.values() if entry.pw_uid in running)
    if closing and (closed := [name for name in names if name in leavers]):
        problem = (
            f"{closed[0]} is no longer listed in users_accounts (gpulab_users), and this run is logged in as "
            f"{closed[0]}. Connect as another account, or list it again."
        )
        return problem, [], []
    spared = [name for name in names if name in outdated]
    warnings = [
        f"{name}: this run's own session still holds a revoked group. Log out, and run again." for name in spared
    ]
    return "", spared, warnings


def record_texts(
    path: Path,
    record: memberships.Record | None,
    plan: memberships.Plan,
    requested: memberships.Members,
    passwords: Passwords,
    expires: dict[str, int | None],
) -> dict[str, str | None]:
    """Return the texts of the record before and after the changes, null where the file already has the text."""
    text = path.read_text(encoding="utf-8") if record else ""
    before = plan.record_before(record or memberships.Record(), requested, passwords.before).text()
    after = memberships.Record(plan.made, requested, passwords.after, expires).text()
    return {"before": before if before != text else None, "after": after if after != before else None}


def compare(module: AnsibleModule) -> dict[str, Any]:
    """Return the differences, as documented; fail where an account or a record must not be changed."""
    params = module.params
    accounts, owned, path = params["accounts"], params["owned"], Path(params["record"])
    names = [account["name"] for account in accounts]
    try:
        record, others = memberships.stored(path), memberships.granted_by_others(path)
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"Nothing was changed: {error}")
    known = record or memberships.Record()
    uids = [account["uid"] for account in accounts if account["uid"] is not None]
    host = rules.Host.read(
        [*names, *(name for members in known.members.values() for name in members)], [*uids, *ancestors(os.getpid())]
    )
    requested = requested_members(accounts, [*owned, *params["groups"]])
    problems = rules.account_problems(accounts, host.accounts.values())
    problems += rules.directory_problems(accounts, host, known.members.get(owned[0], set()))
    problems += rules.group_problems(params["groups"], host.groups)
    problems += rules.directory_groups(requested, rules.local_names(rules.GROUP))
    problems += rules.shared_directory_problems([Path(name) for name in params["shared_directories"]])
    problems += memberships.foreign_members(record, requested, host.groups, owned, others)
    if problems:
        module.fail_json(msg="Nothing was changed: " + " Also, ".join(problems), problems=problems)
    plan = memberships.plan(record, requested, host.groups, owned, others)
    before = host.groups[owned[0]].members if record is None and owned[0] in host.groups else frozenset()
    passwords = compare_passwords(accounts, host, known, before)
    expiries = compare_expiries(accounts, host, record, owned[0])

    revoked = {name for group, name in plan.revoked if group == owned[0] and name in host.accounts}
    leavers = sorted(name for name in revoked if not rules.is_protected(host.accounts[name]))
    directory = host.directory([*names, *leavers])
    if (confirmed := params["confirmed_removals"]) is not None:
        present = host.groups[owned[0]].members & set(host.accounts) if owned[0] in host.groups else frozenset()
        if many := memberships.unconfirmed_removals(leavers, len(present), confirmed):
            module.fail_json(msg=f"Nothing was changed: {many}")
    allowed = {host.groups[group].gid: members for group, members in plan.allowed.items()}
    watched = {*names, *leavers, *(name for members in known.members.values() for name in members)}
    watched -= {name for name in watched if name in host.accounts and rules.is_protected(host.accounts[name])}
    outdated = rules.outdated(watched, host.accounts, allowed)
    problem, spared, warnings = own_session(host, leavers, outdated, params["closing"])
    if problem:
        module.fail_json(msg=f"Nothing was changed: {problem}")
    outdated -= set(spared)

    homes = rules.open_homes(names, host.accounts)
    unsafe = rules.unsafe_homes(homes)
    states = {name: rules.home_state(Path(host.accounts[name].pw_dir)) for name in names if name in host.accounts}
    unreadable = {name: state for name, state in states.items() if state not in ("present", "missing")}
    for warning in [
        *unsafe.values(),
        *passwords.warnings,
        *expiries.warnings,
        *warnings,
        *rules.login_warnings(names, host),
        *lock_warnings(names, host),
        *(
            f"{name} is a system account: it is removed from {owned[0]}, and not closed."
            for name in sorted(revoked - {*leavers})
        ),
        *(
            f"{name} belongs to a directory, which decides on logins: it is removed from {owned[0]}, and not closed."
            for name in host.directory(leavers)
        ),
        *(
            f"{host.accounts[name].pw_dir} cannot be read ({state}) and is left as it is. Unmount it."
            for name, state in unreadable.items()
        ),
        *rules.name_warnings(names),
        *primary_group_warnings(host, {*plan.made, *owned}, requested),
    ]:
        module.warn(warning)
    today = int(time.time() // 86400)
    losing = {*leavers, *outdated, *(name for _group, name in plan.revoked)}
    return {
        "missing_groups": [name for name in params["groups"] if name not in host.groups],
        "differing": [
            account["name"]
            for account in accounts
            if account["name"] not in directory
            and (
                account["name"] in {*passwords.new, *expiries.new}
                or rules.differs(account, host.accounts.get(account["name"]), host.members)
            )
        ],
        "kept_expiries": expiries.kept,
        "directory": directory,
        "directory_memberships": [
            {"name": account["name"], "group": group}
            for account in accounts
            if account["name"] in directory
            for group in rules.missing_groups(account, host.members)
        ],
        "directory_homes": {name: host.accounts[name].pw_dir for name in directory if states.get(name) == "missing"},
        "uids": {name: host.accounts[name].pw_uid for name in names if name in host.accounts},
        "new_passwords": passwords.new,
        "temporary_passwords": temporary_passwords(accounts, host, passwords.new),
        "locked": [name for name in names if memberships.is_locked(host.password_field(name))],
        "open_homes": {name: home for name, home in homes.items() if name not in unsafe},
        "unreadable_homes": list(unreadable),
        "expired": [
            account["name"]
            for account in accounts
            if (day := rules.expiry_day(account["expires"])) is not None and day <= today
        ],
        "revoked": [{"group": group, "name": name} for group, name in plan.revoked],
        "leavers": leavers,
        "outdated": sorted(outdated),
        "homes": {name: host.accounts[name].pw_dir for name in losing if name in host.accounts},
        "record": record_texts(path, record, plan, requested, passwords, expiries.after),
    }


def main() -> None:
    """Run the module."""
    listed = {"type": "list", "elements": "str"}
    account = {
        "name": {"type": "str", "required": True},
        "uid": {"type": "int"},
        "groups": {**listed, "default": []},
        "password_hash": {"type": "str", "no_log": True},
        "password_update": {"choices": ["changed", "on_create", "always"], "default": "changed", "no_log": False},
        "password_temporary": {"type": "bool", "default": False, "no_log": False},
        "expires": {"type": "str"},
    }
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "dict", "required": True, "options": account},
            "groups": {**listed, "default": []},
            "owned": {**listed, "required": True},
            "record": {"type": "path", "required": True},
            "closing": {"type": "bool", "default": True},
            "confirmed_removals": {"type": "int"},
            "shared_directories": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    # First: without root's rights, other checks would give wrong reasons.
    if problem := host_state.privilege_problem():
        module.fail_json(msg=problem)
    module.exit_json(changed=False, **compare(module))


if __name__ == "__main__":
    main()
