#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.hub_users."""

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_users
author: The gpulab team (@gpulab)
short_description: Let a hub forget those who may not come in any more
description:
  - Compares the users whom JupyterHub knows with the members of a group and with the days on which accounts expire,
    and deletes the others from the hub. Their servers, cookies and tokens are dead at once; their accounts and homes
    are no matter of the hub.
  - Does nothing on a host where the hub never ran.
options:
  socket:
    description: Unix socket on which the hub listens.
    type: path
    required: true
  token_file:
    description: File whose only word is a token that may list and delete users.
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
    description: Names the users whom the hub forgot.
"""

EXAMPLES = r"""
- name: Let the hub forget leavers
  gpulab.core.hub_users:
    socket: /run/gpulab-hub/hub.sock
    token_file: /var/lib/gpulab/jupyterhub/users.token
    group: gpulab-users
"""

RETURN = r"""
forgotten:
  description: Users whom the hub forgot.
  type: list
  elements: str
  returned: always
"""

import grp
import json
import os
import pwd
import re
import socket
import time
import urllib.parse
from collections.abc import Callable, Iterable
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.users.shadow import SHADOW, shadow

PATIENCE = 30.0
"""Seconds that the hub has to stop somebody's server before it forgets the user."""


def over(text: str, today: int) -> set[str]:
    """Give the accounts whose day of expiry has come, from shadow's text."""
    return {name for name, (_hash, day) in shadow(text).items() if day is not None and day <= today}


def leavers(known: Iterable[str], members: Iterable[str], expired: Iterable[str]) -> list[str]:
    """Give those whom the hub knows and who may not come in any more."""
    return sorted(set(known) - (set(members) - set(expired)))


class HubFailed(Exception):
    """The hub answered with an error; `code` is the HTTP status."""

    def __init__(self, code: int) -> None:
        super().__init__(f"HTTP {code}")
        self.code = code


class SocketConnection(HTTPConnection):
    """An HTTP connection over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def asker(path: str, token: str) -> Callable[[str, str], Any]:
    """Return a function that sends a request to the hub on this host and returns the decoded answer."""

    def ask(method: str, resource: str) -> Any:
        headers = {"Authorization": f"token {token}", "Accept": "application/jupyterhub-pagination+json"}
        with closing(SocketConnection(path)) as connection:
            connection.request(method, f"/hub/api{resource}", headers=headers)
            answer = connection.getresponse()
            text = answer.read()
        if answer.status >= 400:
            raise HubFailed(answer.status)
        return json.loads(text) if text else None

    return ask


def read_token(path: Path) -> str:
    """Return the token, from a directory that the hub's account can write: no link is followed, no other text is sent.

    Raises OSError for anything else than a file with a token.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(path, flags), encoding="ascii", errors="replace") as opened:
        token = opened.read(200).strip()
    if not re.fullmatch("[0-9a-f]{64}", token):
        raise OSError("it does not hold a token")
    return token


def everybody(ask: Callable[[str, str], Any]) -> list[str]:
    """Give the names of all users whom the hub knows, page by page."""
    names: list[str] = []
    while True:
        page = ask("GET", f"/users?limit=200&offset={len(names)}")
        names += [user["name"] for user in page["items"]]
        if not page["_pagination"]["next"]:
            return names


def forget(ask: Callable[[str, str], Any], name: str) -> None:
    """Delete a user; the hub rejects while a server is being stopped, so it is asked again."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            ask("DELETE", f"/users/{urllib.parse.quote(name)}")
            return
        except HubFailed as error:
            if error.code == 404:
                return
            if error.code not in (400, 424, 500, 503) or time.monotonic() > until:
                raise
            time.sleep(1)


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
    path = Path(module.params["token_file"])
    if not path.is_file():
        module.exit_json(changed=False, forgotten=[])
    try:
        ask = asker(module.params["socket"], read_token(path))
    except OSError as error:
        module.fail_json(msg=f"{path}: {error}. Remove it and restart gpulab-hub, which makes a new one.")
    try:
        entry = grp.getgrnam(module.params["group"])
    except KeyError:
        module.fail_json(msg=f"there is no group {module.params['group']}: apply the role gpulab.core.users first.")
    members = {*entry.gr_mem, *(user.pw_name for user in pwd.getpwall() if user.pw_gid == entry.gr_gid)}
    expired = over(SHADOW.read_text(encoding="utf-8"), int(time.time() // 86400))
    try:
        found = leavers(everybody(ask), members, expired)
        for name in [] if module.check_mode else found:
            forget(ask, name)
    except (OSError, HTTPException, HubFailed) as error:
        module.fail_json(
            msg=f"The hub does not answer at {module.params['socket']} ({error}): see 'systemctl status gpulab-hub'. "
            "Accounts were closed all the same; run again when it is up, so that it forgets their sessions."
        )
    module.exit_json(changed=bool(found), forgotten=found)


if __name__ == "__main__":
    main()
