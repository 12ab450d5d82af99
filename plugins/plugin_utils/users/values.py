# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of requested users in the forms that inventories have. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

SEPARATORS = re.compile(r"[\s,;|]+")


def group_names(user: Mapping[str, Any]) -> list[str]:
    """Return the further groups of a user: a list, or one text with commas or blanks between the names."""
    value = user.get("groups")
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [str(name) for name in value]
    return [name for name in SEPARATORS.split(str(value)) if name]


def unusual_characters(text: str) -> str:
    """Return the first character that looks like another one or like nothing, by its name; empty without one."""
    for character in text:
        if not character.isascii() or not character.isprintable():
            name = unicodedata.name(character, "a control character").lower().replace("_", " ")
            return f"{name} (U+{ord(character):04X})"
    return ""
