"""Who must lose access: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

EXPIRED = "1"
"""Day 1 of usermod(8) --expiredate: an account that expired on 2 January 1970 may not log in by any way of PAM."""


def withdrawals(
    groups: Mapping[str, Sequence[Any]], members: Mapping[str, Sequence[str]], users_group: str | None = None
) -> list[dict[str, Any]]:
    """Give the commands that take away what nobody wishes any more.

    `groups` is getent's answer, name -> [password, gid, members]; `members` says who is wished in each owned group.
    Somebody who leaves `users_group`, where it is named, may not log in at all any more; the account and its home stay.
    The step `close` comes before sessions are ended, the step `leave` after.
    """
    found = []
    for group, wished in members.items():
        listed = groups.get(group)
        present = [name for name in str(listed[2]).split(",") if name] if listed and len(listed) > 2 else []
        for name in present:
            if name in wished:
                continue
            if group == users_group:
                argv = ["usermod", "--expiredate", EXPIRED, name]
                found.append({"step": "close", "name": name, "label": f"{name}: no login any more", "argv": argv})
            argv = ["gpasswd", "--delete", name, group]
            found.append({"step": "leave", "name": name, "label": f"{name}: out of {group}", "argv": argv})
    return found
