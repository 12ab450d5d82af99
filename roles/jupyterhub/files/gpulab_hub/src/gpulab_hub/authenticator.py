# SPDX-License-Identifier: GPL-3.0-or-later
"""Authenticator whose passwords a root helper checks with PAM; a changed password ends cookies and tokens."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from jupyterhub import orm
from jupyterhub.auth import LocalAuthenticator
from tornado import web
from traitlets import Float, Integer, List, Set, Unicode, default

from gpulab_hub.clients import Source, client_of
from gpulab_hub.devices import device_of, remember_device
from gpulab_hub.failures import Counter
from gpulab_hub.logins import Limits, LoginGate, TooManyLogins
from gpulab_hub.passwords import (
    SOCKET,
    UNAVAILABLE,
    AccountStatus,
    HelperClient,
    HelperUnavailable,
    StatusCache,
    Verdict,
)

HUB_CLIENT = "jupyterhub"
"""OAuth client of tokens that do not belong to a browser: those of servers, and those of users' programs."""
LOG_SECONDS = 60
"""Seconds after which rejected logins of a client are logged again."""
STATE_KEY = "password"
"""Key of the password's fingerprint in a user's auth_state."""


class LabPAMAuthenticator(LocalAuthenticator):  # type: ignore[misc]
    """Check passwords through the root helper. A changed password ends tokens, a closed account all access."""

    admin_groups = Set(help="Groups of the hub's administrators; admin_users are administrators too.").tag(config=True)
    helper_socket = Unicode(SOCKET, help="Socket of the root helper that checks passwords.").tag(config=True)
    checks_in_flight = Integer(
        0, help="Passwords that may be checked at a time, further logins wait; 0: two for each processor, at most 8."
    ).tag(config=True)
    suspects_in_flight = Integer(
        0, help="The same for clients that gave wrong passwords; 0: one for two processors, at most 4."
    ).tag(config=True)
    check_patience = Float(15.0, help="Seconds that a login may wait for its check; then it is rejected.").tag(
        config=True
    )
    wrong_per_name = Integer(5, help="Wrong passwords of one client for one name that are checked at once.").tag(
        config=True
    )
    wrong_per_name_seconds = Float(60.0, help="Seconds after which one more is checked.").tag(config=True)
    wrong_per_client = Integer(40, help="Wrong passwords of one client for all names that are checked at once.").tag(
        config=True
    )
    wrong_per_client_seconds = Float(10.0, help="Seconds after which one more is checked.").tag(config=True)
    allowed_addresses = List(
        trait=Unicode(), help="Addresses and networks (a lab behind NAT) whose wrong passwords are not limited."
    ).tag(config=True)
    tokens_per_user = Integer(50, help="API tokens that a user may have at a time.").tag(config=True)
    longest_note = Integer(255, help="Characters of the note of an API token.").tag(config=True)
    failure_delay = Float(2.0, help="Seconds after which a failed login is answered, whatever the reason is.").tag(
        config=True
    )
    status_age = Float(10.0, help="Seconds after which the state of accounts is read again.").tag(config=True)

    @default("enable_auth_state")  # type: ignore[untyped-decorator]
    def _keep_state(self) -> bool:
        """Return True: auth_state holds the fingerprints of passwords."""
        return True

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        client = HelperClient(self.helper_socket)
        processors = os.cpu_count() or 1
        limits = Limits(
            # A check takes up to half a second of a processor. gpulab-password.socket accepts 12 connections.
            in_flight=self.checks_in_flight or min(8, 2 * processors),
            suspects=self.suspects_in_flight or max(1, min(4, processors // 2)),
            patience=self.check_patience,
            per_name=self.wrong_per_name,
            per_name_seconds=self.wrong_per_name_seconds,
            per_client=self.wrong_per_client,
            per_client_seconds=self.wrong_per_client_seconds,
            allowed=self.allowed_addresses,
        )
        self.gate = LoginGate(client.check, limits, self.failure_delay)
        self.logged = Counter(LOG_SECONDS, time.monotonic)
        self.accounts = StatusCache(client.status, self.status_age)
        self.ending = asyncio.Lock()

    def get_handlers(self, app: Any) -> list[Any]:
        """Return handlers that are used instead of JupyterHub's own."""
        from gpulab_hub.overrides import HANDLERS

        return [*HANDLERS, *super().get_handlers(app)]

    async def authenticate(self, handler: Any, data: Any) -> dict[str, Any] | None:
        """Return the user's name and the fingerprint of the password, or None; raise HTTPError with what to do."""
        data = data if isinstance(data, dict) else {}
        name = data.get("username")
        # JupyterHub lowers and maps names after this: the account that is checked must be the one that logs in.
        name = self.normalize_username(name) if isinstance(name, str) else None
        if name is not None and self.normalize_username(name) != name:
            name = None
        # The hub reads no address where a program on the host sends the request.
        address = handler.request.remote_ip if handler is not None else "?"
        try:
            verdict = await self.gate.log_in(name, data.get("password"), Source(address, device_of(handler, name)))
        except TooManyLogins as error:
            raise self._rejection(handler, address, error) from error
        except HelperUnavailable as error:
            self.log.error("Passwords cannot be checked: %s", error)
            raise web.HTTPError(503, UNAVAILABLE) from error
        if verdict.result == "ok" and name:
            await self._renew(handler.find_user(name), verdict)
            self.log.info("Login of %s from %s", name, address)
            remember_device(handler, name)
            return {"name": name, "auth_state": {STATE_KEY: verdict.fingerprint}}
        # Programs that ban addresses read this line. The name may be a password in the wrong field, so it is shortened.
        self.log.warning("Login failed (%.34r@%s): %s", name[:32] if name else "", address, verdict.result)
        if verdict.result == "wrong":
            return None
        # The password was right (or the host is broken), so the user gets the reason.
        raise web.HTTPError(503 if verdict.result == "unavailable" else 403, verdict.reason)

    def _rejection(self, handler: Any, address: str, error: TooManyLogins) -> Exception:
        """Return the answer to a login that is not checked.

        Once a minute for each client this is a line in the log and the login page. Further answers are one line of
        text, a tenth of the work for the hub.
        """
        status, headers = 429 if error.limited else 503, {"Retry-After": str(error.seconds)}
        client = client_of(address)
        if not self.logged.count(client):
            self.logged.add(client)
            self.log.warning("Logins from %s are rejected: %s", address, error)
            rejection: Exception = web.HTTPError(status, str(error))
            rejection.headers = headers  # type: ignore[attr-defined]
            return rejection
        handler.set_status(status)
        for name, value in {**headers, "Content-Type": "text/plain; charset=UTF-8"}.items():
            handler.set_header(name, value)
        handler.finish(f"{error}\n")
        return web.Finish()  # type: ignore[no-any-return]

    async def _renew(self, user: Any, verdict: Verdict) -> None:
        """End logins and tokens of an earlier password before the fingerprint of the new login is stored."""
        if user is None:
            return
        async with self.ending:
            state = await user.get_auth_state()
            if state is None or state.get(STATE_KEY) != verdict.fingerprint:
                await self._end_sessions(user, verdict.fingerprint)

    async def refresh_user(self, user: Any, handler: Any = None, **arguments: Any) -> Any:  # noqa: ARG002
        """Return True or new data while the account is open and its password is still that of the login.

        Otherwise return False: the hub then requires a new login, and rejects requests with a token
        (auth_refresh_strict).
        """
        try:
            status = await self._status(user.name)
            if not status.may_log_in:
                self.log.warning("%s may not log in any more: %s", user.name, status.reason)
                return False
            # Read before sessions are ended: a deleted token has no attributes.
            token = handler.get_token() if getattr(handler, "_token_authenticated", False) else None
            server = token is not None and token.id in server_tokens(user)
            own = handler is None or getattr(handler, "_jupyterhub_user", None) is user
            if await self._password_changed(user, status):
                self.log.warning("The password of %s was changed: its logins and API tokens end", user.name)
                if own and not server:
                    return False
        except HelperUnavailable as error:
            self.log.error("The state of %s cannot be read: %s", user.name, error)
            return False
        admin = self.is_admin(handler, {"name": user.name})
        return True if admin is None or admin == user.admin else {"name": user.name, "admin": admin}

    async def _status(self, name: str) -> AccountStatus:
        """Return the state of an account, with its current membership of the users' group."""
        try:
            member = self.check_allowed_groups(name) or name in self.allowed_users
        except KeyError:
            return AccountStatus(None, False, "the account does not exist")
        if not member:
            return AccountStatus(None, False, "not a member of the users' group")
        status = await self.accounts.get(name)
        if status is None:
            # A new member, or an account of a directory service whose primary group is the users' group.
            status = await self.accounts.get(name, since=self.accounts.clock() - 1) or AccountStatus()
        return status

    async def _password_changed(self, user: Any, status: AccountStatus) -> bool:
        """Return whether the password differs from that of the login; end the sessions where it does."""
        state = await user.get_auth_state()
        if state is not None and state.get(STATE_KEY) == status.fingerprint:
            return False
        async with self.ending:
            # Compare again with a newer state: the login may be the one with the new password.
            status = await self.accounts.get(user.name, since=self.accounts.clock()) or AccountStatus()
            state = await user.get_auth_state()
            if state is not None and state.get(STATE_KEY) == status.fingerprint:
                return False
            if state is None:
                # The login is from a release that kept no fingerprints.
                await user.save_auth_state({STATE_KEY: status.fingerprint})
                return False
            await self._end_sessions(user, status.fingerprint)
            return True

    async def _end_sessions(self, user: Any, fingerprint: str | None) -> None:
        """End all logins and tokens of the former password; servers continue with their own tokens."""
        self.end_logins(user, programs=True)
        await user.save_auth_state({STATE_KEY: fingerprint})

    def end_logins(self, user: Any, programs: bool = False) -> None:
        """End all cookies and OAuth tokens of a user, and with `programs` all API tokens except those of servers."""
        # The cookies of all browsers of a user hold this value.
        user.orm_user.cookie_id = orm.new_token()
        servers = server_tokens(user)
        for token in list(user.orm_user.api_tokens):
            if token.client_id != HUB_CLIENT or (programs and token.id not in servers):
                user.db.delete(token)
        for code in list(user.orm_user.oauth_codes):
            user.db.delete(code)
        user.db.commit()

    def is_admin(self, handler: Any, authentication: dict[str, Any]) -> bool | None:
        """Return whether a user is an administrator: a member of admin_groups, where these are set."""
        if super().is_admin(handler, authentication):
            return True
        if not self.admin_groups:
            return None
        name = authentication["name"]
        groups = {self._getgrnam(group).gr_gid for group in self.admin_groups}
        return bool(groups & set(os.getgrouplist(name, self._getpwnam(name).pw_gid)))


def server_tokens(user: Any) -> set[int]:
    """Return the database ids of the tokens with which a user's servers use the hub."""
    return {spawner.token_id for spawner in user.spawners.values() if spawner.token_id}
