# SPDX-License-Identifier: GPL-3.0-or-later
"""Check of the options that users send to start a server: unknown ones are rejected before the hub stores them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

LARGEST = 4096
"""Largest size of all options of a server as JSON, in bytes; the hub stores them."""


class UnknownOptions(ValueError):
    """The options are rejected; the message is for the user."""


def check(options: Any, known: Collection[str]) -> None:
    """Raise UnknownOptions unless `options` is None or an object of known names with short plain values."""
    if options is None:
        return
    if not isinstance(options, Mapping):
        raise UnknownOptions("The options of a server must be an object.")
    if unknown := sorted(str(name)[:40] for name in options if name not in known)[:5]:
        names = f"known options are {', '.join(sorted(known))}" if known else "this hub has no options"
        raise UnknownOptions(f"Unknown options of a server: {', '.join(unknown)}; {names}.")
    for name, value in options.items():
        values = value if isinstance(value, list) else [value]
        if not all(item is None or isinstance(item, str | int | float | bool) for item in values):
            raise UnknownOptions(f"The option {name} of a server must be a text, a number or a list of them.")
    if len(json.dumps(options)) > LARGEST:
        raise UnknownOptions(f"The options of a server are larger than {LARGEST} bytes.")
