#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.account_preflight."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_preflight
author: The gpulab team (@gpulab)
short_description: Whether requested accounts fit the accounts that a host already has
description:
  - An account that is there is adopted when it is a user's and its uid is the requested one; else it is rejected by
    name.
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
extends_documentation_fragment: [gpulab.core.check_mode, gpulab.core.reads_only]
"""

EXAMPLES = r"""
- name: Preflight | Compare with the accounts that are there
  gpulab.core.account_preflight:
    accounts:
      - name: ada
        uid: 2001
"""

RETURN = r"""
adopted:
  description: Names of requested accounts that the host has already.
  type: list
  elements: str
  returned: always
"""

import pwd
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

LEAST_UID = 1000
NOBODY = 65534


def account_problems(
    requested: Sequence[dict[str, Any]], there: Sequence[pwd.struct_passwd], home_root: Path = Path("/home")
) -> list[str]:
    """Find settings that would overwrite what is there."""
    by_name = {entry.pw_name: entry for entry in there}
    by_uid = {entry.pw_uid: entry for entry in there}
    found = []
    for account in requested:
        name, uid = account["name"], account.get("uid")
        entry = by_name.get(name)
        if entry and (entry.pw_uid < LEAST_UID or entry.pw_uid == NOBODY):
            found.append(f"user {name} is an account of the host's system (uid {entry.pw_uid}): choose another name.")
        elif entry and uid is not None and entry.pw_uid != uid:
            there_uid = entry.pw_uid
            found.append(
                f"user {name} exists with uid {there_uid}, not {uid}: setting uid {there_uid}, or change it there."
            )
        elif not entry and uid in by_uid:
            found.append(f"uid {uid}, requested for {name}, belongs to {by_uid[uid].pw_name}: choose another uid.")
        elif not entry and (home_root / name).exists():
            found.append(f"{home_root / name} exists and user {name} does not: move it away, or make its account.")
    return found


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "accounts": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {"name": {"type": "str", "required": True}, "uid": {"type": "int"}},
            }
        },
        supports_check_mode=True,
    )
    requested, there = module.params["accounts"], pwd.getpwall()
    adopted = sorted({account["name"] for account in requested} & {entry.pw_name for entry in there})
    problems = account_problems(requested, there)
    if problems:
        module.fail_json(
            msg="Nothing was changed, because " + " Also, ".join(problems), problems=problems, adopted=adopted
        )
    module.exit_json(changed=False, adopted=adopted)


if __name__ == "__main__":
    main()
