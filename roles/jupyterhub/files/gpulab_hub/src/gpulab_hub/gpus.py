# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs of users' servers, from the broker of the role gpu_sharing.

A server never waits for a GPU. It requests one where its user did (/hub/spawn?gpus=1, or `gpus` in the API), starts
at once, and gets the GPU when the broker grants it. Hosts without a broker start servers as before.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from gpulab_hub.grants import Account, Grant, Rejection

LOG = logging.getLogger(__name__)
SOCKET = Path("/run/gpulab/gpu.sock")
SECONDS = 10.0
DOOR = "hub"
MOST = 64


class GPUs:
    """The granter of GPUs."""

    options = frozenset({"gpus"})

    def __init__(self, path: Path = SOCKET) -> None:
        self._path = path

    async def grant(self, account: Account, options: Mapping[str, Any]) -> Grant:
        """Request GPUs where the user's options name a number; raise Rejection for a number that is not possible."""
        number = count(options.get("gpus", 0))
        if number:
            body = {"user": account.name, "gpus": number, "door": DOOR}
            try:
                status, answer = await asyncio.to_thread(self._call, "POST", "/v1/requests", body)
            except (OSError, http.client.HTTPException, ValueError) as error:
                LOG.warning(
                    "the server of %s starts without a GPU: the broker does not answer: %s", account.name, error
                )
                return Grant()
            if status >= 400:
                raise Rejection(f"Your server was not started with a GPU: {answer.get('error', status)}", "gpu")
        return Grant()

    async def release(self, account: Account) -> None:
        """Release what the server of a user holds or waits for."""
        if not self._path.exists():
            return
        query = urlencode({"door": DOOR, "user": account.name})
        status, answer = await asyncio.to_thread(self._call, "DELETE", f"/v1/requests?{query}", None)
        # 404: a user who was removed holds nothing any more.
        if status >= 400 and status != 404:
            raise OSError(f"the broker of GPUs answered {status}: {answer.get('error', '')}")

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, dict[str, Any]]:
        connection = _Connection(self._path)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


def count(value: Any) -> int:
    """Return the number of GPUs of an option, which a link has as a list with a text."""
    if isinstance(value, list | tuple):
        value = value[0] if value else 0
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number <= MOST:
        raise Rejection(f"The number of GPUs (gpus) must be 0 to {MOST}.", "gpu")
    return number


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the unix socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(str(self._path))
