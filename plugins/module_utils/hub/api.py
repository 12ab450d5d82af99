# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client of JupyterHub's REST API over the hub's unix socket, as far as gpulab.core.hub_users needs it."""

from __future__ import annotations

import json
import os
import re
import socket
import time
import urllib.parse
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

REQUEST_SECONDS = 30.0
"""Time limit of one request."""
DELETE_SECONDS = 30.0
"""Time that the hub has to stop a user's server before it deletes the user."""
RETRIED = (400, 424, 500, 503)
"""Statuses of a deletion while the hub is still stopping the user's server."""

Request = Callable[[str, str], Any]
"""Sends a method and a resource, such as GET and /users, and returns the decoded answer."""


class HubError(Exception):
    """The hub answered with an error; `status` is the HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class SocketConnection(HTTPConnection):
    """An HTTP connection over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=REQUEST_SECONDS)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def client(path: str, token: str) -> Request:
    """Return a function that sends one request to the hub at the unix socket `path` and returns the decoded answer.

    The function raises HubError for a status of 400 and above, OSError and HTTPException where the hub does not answer.
    """

    def request(method: str, resource: str) -> Any:
        headers = {"Authorization": f"token {token}", "Accept": "application/jupyterhub-pagination+json"}
        with closing(SocketConnection(path)) as connection:
            connection.request(method, f"/hub/api{resource}", headers=headers)
            answer = connection.getresponse()
            text = answer.read()
        if answer.status >= 400:
            raise HubError(answer.status)
        return json.loads(text) if text else None

    return request


def read_token(path: Path) -> str:
    """Return the API token in a file of a directory that the hub's account can write.

    Links are not followed, and no other text is returned. Raises OSError where the file does not hold a token.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(path, flags), encoding="ascii", errors="replace") as file:
        token = file.read(200).strip()
    if not re.fullmatch("[0-9a-f]{64}", token):
        raise OSError("it does not hold a token")
    return token


def user_names(request: Request) -> list[str]:
    """Return the names of all users of the hub, which lists them in pages."""
    names: list[str] = []
    while True:
        page = request("GET", f"/users?limit=200&offset={len(names)}")
        names += [user["name"] for user in page["items"]]
        if not page["_pagination"]["next"]:
            return names


def delete_user(request: Request, name: str, seconds: float = DELETE_SECONDS) -> None:
    """Delete a user with servers, cookies and tokens, within `seconds`; a user who does not exist is no error.

    The hub rejects the deletion while it stops the user's server, so the request is repeated. Raises HubError.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            request("DELETE", f"/users/{urllib.parse.quote(name)}")
            return
        except HubError as error:
            if error.status == 404:
                return
            if error.status not in RETRIED or time.monotonic() > deadline:
                raise
            time.sleep(1)
