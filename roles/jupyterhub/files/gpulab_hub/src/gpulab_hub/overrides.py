"""Handlers of JupyterHub's with limits that it has no options for. LabPAMAuthenticator.get_handlers puts them first."""

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
"""Logins of browsers at a user's server that are kept, and steps of such logins; older ones end."""
LONGEST_SESSION = 255
"""Characters of a browser's session number, which the browser itself may choose."""


class EverywhereLogoutHandler(LogoutHandler):  # type: ignore[misc]
    """A logout ends all logins of its user's browsers, so that a cookie that was copied opens nothing any more."""

    async def handle_logout(self) -> None:
        """End the logins where they are checked; JupyterHub itself only deletes this browser's cookies."""
        if user := self.current_user:
            self.authenticator.end_logins(user)
        for prefix in ("__Host-", ""):
            self.clear_cookie(prefix + server_cookie.NAME, path="/")


class LimitedTokenHandler(UserTokenListAPIHandler):  # type: ignore[misc]
    """API tokens: so many for each user, with a short note."""

    async def post(self, user_name: str) -> None:
        """Reject a token that is over a limit, and a password in the request, which the login page is for."""
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
    """Starts and changes of servers, with options that are known alone."""

    def get_server_json_body(self) -> Any:
        """Reject unknown options of a start before they are kept."""
        body = super().get_server_json_body()
        self._check(body["user_options"])
        return body

    def get_json_body(self) -> Any:
        """Reject unknown options of a change before they are kept."""
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
    """Answers that the hub runs; its version is for those who are logged in."""

    def get(self) -> None:
        """Return an empty object to strangers."""
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
    """Keep the newest logins at a user's server alone: each one is a row of the database."""
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
