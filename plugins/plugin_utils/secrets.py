# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets in the variables of a site, so that no message quotes one. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MASK = "***"
SECRET_NAME = re.compile(r"pass(word|wd|phrase)?|secret|token|hash|crypt|credential", re.IGNORECASE)
"""Keys whose value is a secret, also where they are misspelt."""
LOGIN = re.compile(r"(?<=://)[^\s'\"]+(?=@)")
"""The login of an address."""
HASH = re.compile(r"\$\w{1,4}\$[^\s'\",]+")
"""A hash of crypt(5)."""
PRIVATE_KEY = re.compile(r"-{5}BEGIN [A-Z ]*PRIVATE KEY-{5}(.*?)(-{5}END|\Z)", re.DOTALL)
SHORTEST = 4
"""Characters of the shortest text that is masked: shorter ones would hide words of the message."""


def secrets_of(value: Any, name: str = "") -> Iterator[str]:
    """Yield the secrets in a value: below keys with such a name, logins of addresses, hashes and private keys."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from secrets_of(item, str(key))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from secrets_of(item, name)
    elif isinstance(value, str):
        if SECRET_NAME.search(name):
            yield value
        yield from LOGIN.findall(value)
        yield from HASH.findall(value)
        for body, _end in PRIVATE_KEY.findall(value):
            yield from body.split()


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return a text in which secrets are replaced, also where Python or JSON has escaped them."""
    forms = {form for secret in secrets for form in (secret, repr(secret)[1:-1]) if len(form) >= SHORTEST}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text
