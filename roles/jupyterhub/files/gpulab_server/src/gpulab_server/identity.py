"""Logins at a user's server whose pages carry no token: browsers have cookies, and programs have their own tokens."""

from __future__ import annotations

from typing import Any

from jupyterhub.singleuser.extension import JupyterHubIdentityProvider


class PageIdentity(JupyterHubIdentityProvider):  # type: ignore[misc]
    """JupyterHub's logins; neither the server's own token nor the browser's is written into a page or a file."""

    @property
    def token(self) -> str:
        """Return nothing: Jupyter writes this into its pages. The hub checks tokens, not this server."""
        return ""

    @property
    def auth_enabled(self) -> bool:
        """Return that a login is needed, which Jupyter concludes from its own token otherwise."""
        return True

    def page_config_hook(self, handler: Any, page_config: dict[str, Any]) -> dict[str, Any]:
        """Leave the browser's token out: JupyterLab then sends its cookie, as all other pages do."""
        result: dict[str, Any] = super().page_config_hook(handler, page_config)
        return {**result, "token": ""}

    def _patch_xsrf(self, handler: Any) -> None:
        """Give the XSRF cookie the same attributes as the login (Spawner.cookie_options)."""
        super()._patch_xsrf(handler)
        handler.settings.setdefault("xsrf_cookie_kwargs", {}).update(self.hub_auth.cookie_options)
