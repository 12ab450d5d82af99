"""What a request carries that speaks for its user at the hub, and how it is removed: pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

PREFIX = "jupyterhub-"
"""How the names of JupyterHub's cookies begin: login of the server, of the hub, session, OAuth state."""


def cookies(headers: Iterable[str]) -> str:
    """Return the value of one Cookie header without the cookies of the hub; empty where no other is left.

    `_xsrf` stays: it opens nothing without the login cookie, pages can read it anyhow, and proxied programs made with
    tornado need their own of that name.
    """
    pairs = (pair.strip() for header in headers for pair in re.split("[;,]", header))
    return "; ".join(pair for pair in pairs if pair and not pair.strip('"').lower().startswith(PREFIX))


def query(text: str) -> str:
    """Return a query without its parameter `token`, the other ones as they were."""
    return "&".join(part for part in text.split("&") if unquote_plus(part.partition("=")[0]) != "token")


def address(url: str, asked: str) -> str:
    """Return a URL that ends with the query `asked` without the parameter `token`."""
    kept = query(asked)
    return url.removesuffix(f"?{asked}") + (f"?{kept}" if kept else "")
