# SPDX-License-Identifier: GPL-3.0-or-later
"""Removal of the hub's cookies and tokens from requests to users' programs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

PREFIX = "jupyterhub-"
"""Prefix of the names of JupyterHub's cookies: login of the server, of the hub, session, OAuth state."""


def cookies(headers: Iterable[str]) -> str:
    """Return the value of one Cookie header without the cookies of the hub; empty where no other remains.

    `_xsrf` stays: it grants nothing without the login cookie, pages can read it anyway, and proxied programs made with
    tornado use a cookie of the same name.
    """
    pairs = (pair.strip() for header in headers for pair in re.split("[;,]", header))
    return "; ".join(pair for pair in pairs if pair and not pair.strip('"').lower().startswith(PREFIX))


def query(text: str) -> str:
    """Return a query without its parameter `token`, with the others unchanged."""
    return "&".join(part for part in text.split("&") if unquote_plus(part.partition("=")[0]) != "token")


def address(url: str, original: str) -> str:
    """Return a URL, which ends with the query `original`, without the parameter `token`."""
    kept = query(original)
    return url.removesuffix(f"?{original}") + (f"?{kept}" if kept else "")
