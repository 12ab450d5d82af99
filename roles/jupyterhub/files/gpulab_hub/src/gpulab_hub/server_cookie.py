# SPDX-License-Identifier: GPL-3.0-or-later
"""Cookie that gives a browser access to the server of its own user only.

All servers share one host name. A page of one user's server would run with the login of any other user who opens it, so
the proxy (proxy.mjs) requires this cookie for `/user/NAME/`.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from urllib.parse import unquote, urlsplit

NAME = "gpulab-server"
LIFETIME = 7 * 86400
"""Lifetime of the cookie in seconds; a page that stays open for longer must be reloaded."""


def value(base_url: str, key: str, now: float, lifetime: float = LIFETIME) -> str:
    """Return the cookie for a server's address, such as `/user/ada/`: its end (seconds since 1970) and a signature."""
    expires = int(now + lifetime)
    signed = f"{unquote(base_url)}|{expires}".encode()
    return f"{expires}.{hmac.new(key.encode(), signed, sha256).hexdigest()}"


def is_own_page(target: str, base_url: str) -> bool:
    """Return whether an address is a path below a server's address."""
    parts = urlsplit(target)
    plain = target.isprintable() and "\\" not in target
    return plain and not parts.scheme and not parts.netloc and f"{unquote(parts.path)}/".startswith(unquote(base_url))
