#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module gpulab.core.hub_users."""

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_users
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Remove revoked users from JupyterHub
description:
  - Compares the users of JupyterHub with the members of a group (group(5)) whose accounts have not expired (shadow(5)),
    and deletes the others from the hub, with their servers, cookies and tokens. Accounts and homes are not changed.
  - Does nothing on a host on which the hub has never run.
  - This module is internal to the role jupyterhub.
options:
  socket:
    description: Unix socket that the hub listens on.
    type: path
    required: true
  token_file:
    description: File with an API token that may list and delete users, and nothing else.
    type: path
    required: true
  group:
    description: Group of the users who may log in.
    type: str
    required: true
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: none
    description: The return value names the removed users.
"""

EXAMPLES = r"""
- name: Remove revoked users from the hub
  gpulab.core.hub_users:
    socket: /run/gpulab-hub/hub.sock
    token_file: /var/lib/gpulab/jupyterhub/users.token
    group: gpulab-users
"""

RETURN = r"""
removed_users:
  description: Users that were removed from the hub, or would be in check mode.
  type: list
  elements: str
  returned: always
  sample: [ada, grace]
"""

import grp
import os
import pwd
import time
from collections.abc import Iterable, Mapping
from http.client import HTTPException
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.common.shadow import SHADOW, records
from ansible_collections.gpulab.core.plugins.module_utils.hub import api
from ansible_collections.gpulab.core.plugins.module_utils.users.accounts import PASSWD, local_names, named, services


def members_of(gid: int, entries: Mapping[str, pwd.struct_passwd]) -> set[str]:
    """Return which accounts are in a group, primary members included.

    The system is queried for each: a directory lists neither its accounts nor the members of its groups.
    """
    return {name for name, entry in entries.items() if gid in os.getgrouplist(name, entry.pw_gid)}


def unanswered(users: Iterable[str], entries: Mapping[str, pwd.struct_passwd]) -> set[str]:
    """Return the users without an account on a host whose directory seems to be down: it knows none of the users."""
    if not services() or set(entries) - local_names(PASSWD):
        return set()
    return set(users) - set(entries)


def expired_accounts(text: str, today: int) -> set[str]:
    """Return the accounts that have expired on the day `today` (since 1970-01-01), from the text of shadow(5)."""
    return {name for name, record in records(text).items() if record.expires is not None and record.expires <= today}


def revoked_users(hub_users: Iterable[str], members: Iterable[str], expired: Iterable[str]) -> list[str]:
    """Return the users of the hub who are not members, or whose account has expired."""
    return sorted(set(hub_users) - (set(members) - set(expired)))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "socket": {"type": "path", "required": True},
            "token_file": {"type": "path", "required": True, "no_log": False},
            "group": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    token_file = Path(module.params["token_file"])
    if not token_file.is_file():
        module.exit_json(changed=False, removed_users=[])
    try:
        request = api.client(module.params["socket"], api.read_token(token_file))
    except OSError as error:
        module.fail_json(msg=f"{token_file}: {error}. Remove it and restart gpulab-hub, which makes a new one.")
    try:
        gid = grp.getgrnam(module.params["group"]).gr_gid
    except KeyError:
        module.fail_json(
            msg=f"There is no group {module.params['group']}: apply the role gpulab.core.users first, or correct "
            "jupyterhub_users_group (gpulab_users_group)."
        )
    expired = expired_accounts(SHADOW.read_text(encoding="utf-8"), int(time.time() // 86400))
    try:
        users = api.user_names(request)
        entries = named(users)
        unknown = unanswered(users, entries)
        revoked = revoked_users(users, members_of(gid, entries) | unknown, expired)
        for name in [] if module.check_mode else revoked:
            api.delete_user(request, name)
    except (OSError, HTTPException, api.HubError) as error:
        module.fail_json(
            msg=f"The hub does not answer at {module.params['socket']} ({error}): see 'systemctl status gpulab-hub'. "
            "The accounts of revoked users are closed already. Run again when the hub is up, to end their hub sessions."
        )
    if unknown:
        module.warn(
            f"{', '.join(sorted(unknown))}: the host has no such accounts, and no account of its directory was found. "
            f"Check its service (`getent passwd {min(unknown)}`). These users of the hub were kept."
        )
    module.exit_json(changed=bool(revoked), removed_users=revoked)


if __name__ == "__main__":
    main()
