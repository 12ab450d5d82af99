# SPDX-License-Identifier: GPL-3.0-or-later
"""Handler for browsers that open a server without its cookie (gpulab_hub.server_cookie)."""

from __future__ import annotations

import time
from typing import Any

from jupyterhub.handlers import BaseHandler
from tornado import web

from gpulab_hub import server_cookie


class ServerCookieHandler(BaseHandler):  # type: ignore[misc]
    """Set the cookie for a logged-in user, and redirect the browser to the page that it has requested."""

    @web.authenticated  # type: ignore[untyped-decorator]
    def get(self) -> None:
        """Set the cookie and redirect; reject a page of another user's server."""
        user: Any = self.current_user
        target = self.get_argument("next", user.base_url)
        if not server_cookie.is_own_page(target, user.base_url):
            raise web.HTTPError(
                403, "This is a page of another user's server. It would run with your login, so it is not opened."
            )
        secure = self.request.protocol == "https"
        lifetime = self.cookie_max_age_days * 86400
        self.set_cookie(
            ("__Host-" if secure else "") + server_cookie.NAME,
            server_cookie.value(user.base_url, self.proxy.auth_token, time.time(), lifetime),
            path="/",
            max_age=int(lifetime),
            secure=secure,
            httponly=True,
            samesite="Lax",
        )
        self.redirect(target)
