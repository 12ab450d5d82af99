"""The cookie with which a browser reaches its own user's server, and no other one.

All servers are under one host name. A page of one user's server would run with the login of whoever opens it, so the
proxy (proxy.mjs) lets a browser through to `/user/NAME/` only with this cookie, and sends pages without it here.
"""

from __future__ import annotations

import hmac
import time
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.handlers import BaseHandler
from tornado import web

NAME = "gpulab-server"
LIFETIME = 30 * 86400
"""Seconds after which a browser has to come here again; a page that stays open for longer must be reloaded."""


def value(base_url: str, key: str, now: float) -> str:
    """Return the cookie for a server's address, such as `/user/ada/`: the end in seconds since 1970, and a signature."""
    expires = int(now) + LIFETIME
    return f"{expires}.{hmac.new(key.encode(), f'{base_url}|{expires}'.encode(), sha256).hexdigest()}"


def is_own_page(target: str, base_url: str) -> bool:
    """Return whether an address is a path below a server's address."""
    parts = urlsplit(target)
    return not parts.scheme and not parts.netloc and (target + "/").startswith(base_url) and "\\" not in target


class ServerCookieHandler(BaseHandler):  # type: ignore[misc]
    """Gives the cookie to whoever is logged in, and sends the browser on to the page that it came for."""

    @web.authenticated  # type: ignore[untyped-decorator]
    def get(self) -> None:
        """Reject a page of another user's server."""
        user: Any = self.current_user
        target = self.get_argument("next", user.base_url)
        if not is_own_page(target, user.base_url):
            raise web.HTTPError(
                403, "This is a page of another user's server. It would run with your login, so it is not opened."
            )
        secure = self.request.protocol == "https"
        self.set_cookie(
            ("__Host-" if secure else "") + NAME,
            value(user.base_url, self.proxy.auth_token, time.time()),
            path="/",
            max_age=LIFETIME,
            secure=secure,
            httponly=True,
            samesite="Lax",
        )
        self.redirect(target)
