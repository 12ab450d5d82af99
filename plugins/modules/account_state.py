#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.account_state."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_state
author: The gpulab team (@gpulab)
short_description: In what a host's accounts and groups differ from the wished ones
description:
  - Reads the accounts, groups and homes of a host in one go and names those that differ, so that a play calls the
    modules that change them for these alone.
  - Only reads; behaves the same in check mode.
options:
  accounts:
    description: The wished accounts.
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
    description: Groups whose members are wanted.
    type: list
    elements: str
    default: []
  shell:
    description: The login shell of people.
    type: path
    default: /bin/bash
extends_documentation_fragment: [gpulab.core.check_mode, gpulab.core.reads_only]
"""

EXAMPLES = r"""
- name: Compare with what is there
  gpulab.core.account_state:
    accounts:
      - {name: ada, groups: [staff]}
    groups: [staff]
"""

RETURN = r"""
missing_groups:
  description: Groups that are not there.
  type: list
  elements: str
  returned: always
differing:
  description: Names of accounts that are not there or not as wished.
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
members:
  description: The owned groups as getent shows them, by name.
  type: dict
  returned: always
"""

import grp
import pwd
import stat
import time
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpulab.core.plugins.module_utils.safe_paths import unsafe_directory
from ansible_collections.gpulab.core.plugins.module_utils.shadow import SHADOW, shadow

FIRST_DAY = date(1970, 1, 1)
PRIVATE = 0o700


def expiry_day(last: str | None) -> int | None:
    """Give shadow's day for a wished last day: pam_unix refuses from that day on, so it is the day after."""
    return (date.fromisoformat(last) + timedelta(days=1) - FIRST_DAY).days if last else None


def differs(
    wish: Mapping[str, Any],
    entry: pwd.struct_passwd | None,
    secret: tuple[str, int | None],
    memberships: Mapping[str, set[str]],
    shell: str,
) -> bool:
    """Tell whether an account is not as wished. Groups that it is in besides do not matter."""
    if entry is None or entry.pw_shell != shell or not Path(entry.pw_dir).is_dir():
        return True
    if any(wish["name"] not in memberships.get(group, set()) for group in wish.get("groups") or []):
        return True
    word, expires = secret
    return bool(
        (wish.get("password_hash") and wish["password_hash"] != word) or expiry_day(wish.get("expires")) != expires
    )


def open_homes(names: Sequence[str], entries: Mapping[str, pwd.struct_passwd]) -> dict[str, str]:
    """Return homes that others may enter, by name of the account; what is not a directory itself is left alone."""
    found = {}
    for name in names:
        home = Path(entries[name].pw_dir) if name in entries else None
        if home and home.is_dir() and not home.is_symlink() and stat.S_IMODE(home.lstat().st_mode) != PRIVATE:
            found[name] = str(home)
    return found


def unsafe_homes(homes: Mapping[str, str]) -> dict[str, str]:
    """Return why root must not change the mode of a home by its path, by name of the account."""
    return {
        name: f"{home} stays open: other accounts can replace what is in {unsafe}. Close both yourself."
        for name, home in homes.items()
        if (unsafe := unsafe_directory(Path(home).parent))
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
            "owned": {"type": "list", "elements": "str", "default": []},
            "shell": {"type": "path", "default": "/bin/bash"},
        },
        supports_check_mode=True,
    )
    wished = module.params["accounts"]
    names = [account["name"] for account in wished]
    entries = {entry.pw_name: entry for entry in pwd.getpwall()}
    groups = {entry.gr_name: entry for entry in grp.getgrall()}
    memberships = {name: set(entry.gr_mem) for name, entry in groups.items()}
    secrets = shadow(SHADOW.read_text(encoding="utf-8"))
    today = int(time.time() // 86400)
    homes = open_homes(names, entries)
    unsafe = unsafe_homes(homes)
    for reason in unsafe.values():
        module.warn(reason)
    module.exit_json(
        changed=False,
        missing_groups=[name for name in module.params["groups"] if name not in groups],
        differing=[
            wish["name"]
            for wish in wished
            if differs(
                wish,
                entries.get(wish["name"]),
                secrets.get(wish["name"], ("", None)),
                memberships,
                module.params["shell"],
            )
        ],
        open_homes={name: home for name, home in homes.items() if name not in unsafe},
        expired=[
            wish["name"] for wish in wished if (day := expiry_day(wish.get("expires"))) is not None and day <= today
        ],
        members={
            name: ["x", str(groups[name].gr_gid), ",".join(groups[name].gr_mem)]
            for name in module.params["owned"]
            if name in groups
        },
    )


if __name__ == "__main__":
    main()
