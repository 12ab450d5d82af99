# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts that a test makes on a disposable host."""

from __future__ import annotations

import secrets
from typing import Any

REFRESH = 30
"""Seconds within which a changed password holds everywhere (__jupyterhub_refresh_seconds)."""


class Account:
    """An account of a test: `word` is its password, `set_word` changes it as passwd(1) does."""

    def __init__(self, host: Any, name: str) -> None:
        self.host, self.name, self.word = host, name, ""
        self.set_word()

    def set_word(self, method: str = "") -> None:
        """Set another password, hashed by the host's own method or the one that is named."""
        self.word = secrets.token_hex(12)
        option = f"--crypt-method {method}" if method else ""
        self.host.check_output(f"echo %s:%s | chpasswd {option}", self.name, self.word)
