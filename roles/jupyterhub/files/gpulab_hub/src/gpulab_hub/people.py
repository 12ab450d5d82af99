"""Who may come in, asked again and again: a closed account closes every door, and not only at the next login."""

from __future__ import annotations

import grp
import pwd
import time
from pathlib import Path

SHADOW = Path("/etc/shadow")


def expired(name: str, shadow: str, today: int) -> bool:
    """Tell whether an account's day of expiry has come, from shadow(5)."""
    for line in shadow.splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) > 7 and fields[7]:
            return int(fields[7]) <= today
    return False


def may_come_in(name: str, groups: set[str], shadow: Path = SHADOW, now: float | None = None) -> bool:
    """Tell whether somebody still has an account, is still in one of the groups, and has not expired."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return False
    members = {member for group in groups for member in _members(group)}
    primary = {gid for group in groups if (gid := _gid(group)) is not None}
    if name not in members and entry.pw_gid not in primary:
        return False
    today = int((time.time() if now is None else now) // 86400)
    return not expired(name, shadow.read_text(encoding="utf-8"), today)


def _members(group: str) -> list[str]:
    try:
        return grp.getgrnam(group).gr_mem
    except KeyError:
        return []


def _gid(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None
