# SPDX-License-Identifier: GPL-3.0-or-later
"""Client of the root helper that checks passwords, and a cache of the status of accounts."""

from __future__ import annotations

import asyncio
import json
import math
import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gpulab_hub.helper_client import exchange

SOCKET = "/run/gpulab/password.sock"
LONGEST_NAME = 128
"""Largest length of a user name in characters; useradd(8) allows 32, directory services more."""
LONGEST_PASSWORD = 511
"""Largest length of a password in bytes; PAM_MAX_RESP_SIZE is 512 with the final null."""
LONGEST_ANSWER = 8 * 2**20
"""Largest answer in bytes: the status of 40,000 accounts."""
RESULTS = ("ok", "wrong", "expired", "must_change", "not_allowed", "unavailable")
UNAVAILABLE = "Passwords cannot be checked at the moment: try again, or ask an administrator."


class HelperUnavailable(Exception):
    """The helper did not answer; the message names the socket and the log to read."""


@dataclass(frozen=True)
class Verdict:
    """Result of a check: one of RESULTS, a sentence for the user and, for ok, the fingerprint of the password."""

    result: str
    reason: str = ""
    fingerprint: str | None = None


@dataclass(frozen=True)
class AccountStatus:
    """State of an account. `fingerprint` is None where the host does not store its password."""

    fingerprint: str | None = None
    may_log_in: bool = True
    reason: str = ""


class HelperClient:
    """Client of the root helper. The time limit of a request is `timeout` seconds."""

    def __init__(self, path: str = SOCKET, timeout: float = 20.0) -> None:
        self.path, self.timeout = path, timeout

    async def check(self, name: str, password: str) -> Verdict:
        """Return the verdict on a password; raise HelperUnavailable where the helper does not answer."""
        answer = await self._request({"action": "check", "name": name, "password": password})
        fingerprint = answer.get("fingerprint")
        return Verdict(answer["result"], str(answer.get("reason", "")), str(fingerprint) if fingerprint else None)

    async def status(self) -> dict[str, AccountStatus]:
        """Return the status of all members of the users' group by name; raise HelperUnavailable without an answer."""
        answer = await self._request({"action": "status"})
        accounts = answer.get("accounts")
        if answer["result"] != "ok" or not isinstance(accounts, dict):
            raise HelperUnavailable(f"{self.path} gave no status of accounts: see 'journalctl -u gpulab-password@*'")
        return {
            name: AccountStatus(entry["fingerprint"], entry["may_log_in"] is True, entry["reason"])
            for name, entry in accounts.items()
        }

    async def _request(self, request: dict[str, str]) -> dict[str, Any]:
        try:
            return await asyncio.wait_for(self._exchange(request), self.timeout)
        except (OSError, ValueError, asyncio.TimeoutError, asyncio.LimitOverrunError) as error:
            # Only the name of the error: the message of a decoder may hold what was sent.
            detail = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise HelperUnavailable(
                f"{self.path} did not answer ({detail}): see 'systemctl status gpulab-password.socket' "
                "and 'journalctl -u gpulab-password@*'"
            ) from None

    async def _exchange(self, request: dict[str, str]) -> dict[str, Any]:
        line = json.dumps(request, ensure_ascii=False).encode() + b"\n"
        answer = json.loads(await exchange(self.path, line, LONGEST_ANSWER))
        if not isinstance(answer, dict) or answer.get("result") not in RESULTS:
            raise ValueError("unknown answer")
        return answer


def acceptable(name: object, password: object) -> bool:
    """Return whether a name and a password are strings of valid length without control characters."""
    if not (isinstance(name, str) and isinstance(password, str) and name and password):
        return False
    try:
        length = len(password.encode())
    except UnicodeEncodeError:
        return False
    plain = not any(unicodedata.category(character) in ("Cc", "Cs") for character in name + password)
    return plain and len(name) <= LONGEST_NAME and length <= LONGEST_PASSWORD


class StatusCache:
    """Cache of the status of all accounts, read again after `age` seconds. Simultaneous requests share one read."""

    def __init__(
        self,
        read: Callable[[], Awaitable[dict[str, AccountStatus]]],
        age: float,
        clock: Callable[[], float] = lambda: asyncio.get_running_loop().time(),
    ) -> None:
        self.read, self.age, self.clock = read, age, clock
        self.lock = asyncio.Lock()
        self.accounts: dict[str, AccountStatus] = {}
        self.read_at = -math.inf

    async def get(self, name: str, since: float | None = None) -> AccountStatus | None:
        """Return the status of an account from a read that began after `since`; None if it is not listed."""
        oldest = self.clock() - self.age if since is None else since
        async with self.lock:
            if self.read_at < oldest:
                now = self.clock()
                self.accounts = await self.read()
                self.read_at = now
        return self.accounts.get(name)
