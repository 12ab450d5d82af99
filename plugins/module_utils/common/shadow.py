# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of shadow(5): the fingerprint of an account's password, and whether the account may log in today.

The package gpulab_hub has a link to this file, so it imports the standard library only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

SHADOW = Path("/etc/shadow")
SHORTEST_HASH = 13
"""Characters of the oldest hash format of crypt(5); shorter fields (*, !, x) hold no password."""
EXPIRED = "Your account has expired: ask an administrator."
LOCKED = "Your account is locked: ask an administrator."
MUST_CHANGE = "Your password must be changed: log in over SSH, run passwd, then log in here."
STALE = "Your password was not changed in time and has expired: ask an administrator."


@dataclass(frozen=True)
class Record:
    """One line of shadow(5). Days are counted from 1970-01-01; None stands for an empty field."""

    password: str
    changed: int | None = None
    maximum: int | None = None
    inactive: int | None = None
    expires: int | None = None

    @property
    def usable(self) -> bool:
        """Return whether a password can match: the field holds a hash, which is not locked."""
        return self.fingerprint is not None and not self.password.startswith("!")

    @property
    def fingerprint(self) -> str | None:
        """Return a text that changes with the password; None where shadow(5) holds no password, as for LDAP accounts.

        It is the SHA-256 of the whole field without the mark of a locked account. The field holds a random salt of at
        least 96 bits, which only root can read: passwords cannot be tried against a fingerprint, and a password that is
        set again has another fingerprint.
        """
        field = self.password.lstrip("!")
        return hashlib.sha256(field.encode()).hexdigest() if len(field) >= SHORTEST_HASH else None

    def problem(self, today: int) -> tuple[str, str]:
        """Return why PAM rejects a login: a result and a sentence for the user, both empty where it accepts it.

        Order and comparisons are those of pam_unix(8).
        """
        if self.expires is not None and today >= self.expires:
            return "expired", EXPIRED
        if self.fingerprint and not self.usable:
            return "not_allowed", LOCKED
        if self.changed == 0:
            return "must_change", MUST_CHANGE
        if self.changed is None or self.maximum is None or self.maximum < 0:
            return "", ""
        age = today - self.changed
        if age > self.maximum and self.inactive is not None and age > self.maximum + self.inactive:
            return "expired", STALE
        return ("must_change", MUST_CHANGE) if age > self.maximum else ("", "")


def records(text: str) -> dict[str, Record]:
    """Return the records by account name from the text of shadow(5), without incomplete lines."""
    result = {}
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 8:
            days = [int(field) if field.lstrip("-").isdigit() else None for field in fields[2:8]]
            result[fields[0]] = Record(fields[1], days[0], days[2], days[4], days[5])
    return result
