# SPDX-License-Identifier: GPL-3.0-or-later
"""Cookies of browsers that have logged in before (OWASP: "device cookies")."""

from __future__ import annotations

import secrets
from typing import Any

DEVICE_COOKIE = "gpulab-device"
"""Cookie of a browser that has logged in before. It grants no access; its wrong passwords have a count of their own."""
DEVICE_DAYS = 180
"""Lifetime of this cookie in days."""


def device_of(handler: Any, name: str | None) -> str:
    """Return the number of a browser that has logged in with this name before, or an empty text."""
    if name is None or not hasattr(handler, "get_secure_cookie"):
        return ""
    value = handler.get_secure_cookie(DEVICE_COOKIE, max_age_days=DEVICE_DAYS)
    number, *owner = (value or b"").decode("utf-8", "replace").split(" ", 1)
    return number if owner == [name] else ""


def remember_device(handler: Any, name: str) -> None:
    """Set the cookie by which the browser is recognised at its next login with this name."""
    if hasattr(handler, "get_secure_cookie"):
        options = {"httponly": True, "samesite": "Strict", "secure": handler.request.protocol == "https"}
        number = device_of(handler, name) or secrets.token_hex(16)
        handler.set_secure_cookie(
            DEVICE_COOKIE, f"{number} {name}", expires_days=DEVICE_DAYS, path=handler.hub.base_url, **options
        )
