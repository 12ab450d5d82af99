# SPDX-License-Identifier: GPL-3.0-or-later
"""Identity provider of users' servers that writes no tokens into pages."""

from __future__ import annotations

from typing import Any

from jupyterhub.singleuser.extension import JupyterHubIdentityProvider


class PageIdentity(JupyterHubIdentityProvider):  # type: ignore[misc]
    """JupyterHub's identity provider, without the tokens of the server and the browser in pages and files."""

    @property
    def token(self) -> str:
        """Return an empty token, since Jupyter writes it into its pages. The hub, not this server, checks tokens."""
        return ""

    @property
    def auth_enabled(self) -> bool:
        """Return True: a login is required. Jupyter would derive this from its own token."""
        return True

    def page_config_hook(self, handler: Any, page_config: dict[str, Any]) -> dict[str, Any]:
        """Return the page's configuration without the browser's token; JupyterLab then sends its cookie."""
        result: dict[str, Any] = super().page_config_hook(handler, page_config)
        return {**result, "token": ""}

    def _patch_xsrf(self, handler: Any) -> None:
        """Set the XSRF cookie with the attributes of the login cookie (Spawner.cookie_options)."""
        super()._patch_xsrf(handler)
        handler.settings.setdefault("xsrf_cookie_kwargs", {}).update(self.hub_auth.cookie_options)
