# SPDX-License-Identifier: GPL-3.0-or-later
"""Handlers that replace JupyterHub's own, for limits without an option (LabPAMAuthenticator.get_handlers)."""

from __future__ import annotations

import json
from typing import Any

from jupyterhub import orm
from jupyterhub.apihandlers.hub import RootAPIHandler
from jupyterhub.apihandlers.users import UserServerAPIHandler, UserTokenListAPIHandler
from jupyterhub.handlers.login import LogoutHandler
from sqlalchemy import event
from sqlalchemy.orm import Session
from tornado import web

from gpulab_hub import options, server_cookie
from gpulab_hub.authenticator import HUB_CLIENT
from gpulab_hub.grants import known_options
from gpulab_hub.visitors import ServerCookieHandler

LOGINS = 50
"""Largest number of browser logins at a user's server, and of their authorization codes; the oldest ones end."""
LONGEST_SESSION = 255
"""Largest length of a browser's session id, which the browser may choose."""


class EverywhereLogoutHandler(LogoutHandler):  # type: ignore[misc]
    """Logout that ends the logins of all browsers of the user, so that copied cookies become invalid."""

    async def handle_logout(self) -> None:
        """End the logins in the database; JupyterHub itself only deletes this browser's cookies."""
        if user := self.current_user:
            self.authenticator.end_logins(user)
        for prefix in ("__Host-", ""):
            self.clear_cookie(prefix + server_cookie.NAME, path="/")


class LimitedTokenHandler(UserTokenListAPIHandler):  # type: ignore[misc]
    """API tokens with limits: their number for each user, and the length of the note."""

    async def post(self, user_name: str) -> None:
        """Reject tokens over a limit, and requests with a password in place of a login."""
        if self.current_user is None:
            raise web.HTTPError(403, "Log in at the hub, or send a token.")
        body = self.get_json_body() or {}
        longest, most = self.authenticator.longest_note, self.authenticator.tokens_per_user
        if isinstance(body, dict) and len(str(body.get("note") or "")) > longest:
            raise web.HTTPError(400, f"The note of a token has at most {longest} characters.")
        orm.APIToken.purge_expired(self.db)
        user = self.find_user(user_name)
        if user is not None and sum(token.client_id == HUB_CLIENT for token in user.api_tokens) > most:
            raise web.HTTPError(400, f"A user has at most {most} API tokens: revoke one first.")
        await super().post(user_name)


class CheckedServerHandler(UserServerAPIHandler):  # type: ignore[misc]
    """Starts and changes of servers, with known options only."""

    def get_server_json_body(self) -> Any:
        """Reject unknown options of a start before they are stored."""
        body = super().get_server_json_body()
        self._check(body["user_options"])
        return body

    def get_json_body(self) -> Any:
        """Reject unknown options of a change before they are stored."""
        body = super().get_json_body()
        if self.request.method == "PATCH" and isinstance(body, dict):
            self._check(body.get("user_options"))
        return body

    def _check(self, given: Any) -> None:
        try:
            options.check(given, known_options())
        except options.UnknownOptions as error:
            raise web.HTTPError(400, str(error)) from error


class QuietRootHandler(RootAPIHandler):  # type: ignore[misc]
    """API root, which shows the hub's version to logged-in users only."""

    def get(self) -> None:
        """Return an empty object without a login."""
        if self.current_user is None:
            self.finish(json.dumps({}))
        else:
            super().get()


HANDLERS = [
    (r"/server-cookie", ServerCookieHandler),
    (r"/logout", EverywhereLogoutHandler),
    (r"/api/?", QuietRootHandler),
    (r"/api/users/([^/]+)/tokens", LimitedTokenHandler),
    (r"/api/users/([^/]+)/server", CheckedServerHandler),
    (r"/api/users/([^/]+)/servers/([^/]*)", CheckedServerHandler),
]


@event.listens_for(Session, "before_flush")  # type: ignore[untyped-decorator]
def bound_logins(session: Session, *_: Any) -> None:
    """Delete the oldest logins at a user's server: every login is a row of the database."""
    for new in list(session.new):
        if isinstance(new, orm.APIToken) and new.user and new.client_id != HUB_CLIENT:
            rows = [row for row in new.user.api_tokens if row.client_id == new.client_id]
        elif isinstance(new, orm.OAuthCode) and new.user:
            rows = list(new.user.oauth_codes)
        else:
            continue
        new.session_id = new.session_id and new.session_id[:LONGEST_SESSION]
        for old in sorted((row for row in rows if row.id), key=lambda row: row.id)[: -LOGINS + 1]:
            session.delete(old)
