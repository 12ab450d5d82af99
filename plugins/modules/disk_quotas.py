#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.disk_quotas."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_quotas
author: The gpulab team (@gpulab)
short_description: How much of the disk each user's files may take
description:
  - Sets the quotas of users on the file system of their homes, where that is mounted with quotas for users.
  - Where it is not, it says so by name and how to switch them on, and changes nothing. Whoever is over the limit can
    still log in and delete.
options:
  limits:
    description: The users and their limits; one without the key C(disk) has no quota.
    type: list
    elements: dict
    required: true
  only_check:
    description: Say whether it can be done, and do nothing.
    type: bool
    default: false
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: none
    description: Names the users whose quotas changed.
"""

EXAMPLES = r"""
- name: Give ada 50 GB
  gpulab.core.disk_quotas:
    limits:
      - {name: ada, limits: {disk: 50G}}
"""

RETURN = r"""
names:
  description: Users whose quotas changed.
  type: list
  elements: str
  returned: always
"""

import os
import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

FACTORS = {"K": 1, "M": 2**10, "G": 2**20, "T": 2**30}
"""Sizes in blocks of 1024 bytes, as setquota(8) counts."""


def blocks(size: str) -> int:
    """Read a size as 512M or 50G, in blocks; a plain number is bytes."""
    return int(float(size[:-1]) * FACTORS[size[-1]]) if size[-1] in FACTORS else -(-int(float(size)) // 1024)


def mounted(path: str, mounts: str) -> tuple[str, str, list[str]]:
    """Find the file system of a path in the text of /proc/self/mounts: where it is, its kind, its options."""
    entries = (line.split() for line in mounts.splitlines())
    fitting = [each for each in entries if path == each[1] or path.startswith(each[1].rstrip("/") + "/")]
    where, kind, options = max(fitting, key=lambda each: len(each[1]))[1:4]
    return where, kind, options.split(",")


def problem(path: str, mounts: str) -> str:
    """Tell why quotas cannot be had for homes below a path, and the fix; nothing where they can."""
    where, kind, options = mounted(path, mounts)
    if kind not in ("ext4", "xfs"):
        return f"limits.disk: {path} is on {kind}, which knows no quotas for users: use ext4 or xfs, or setting none."
    if not {"usrquota", "quota", "uquota"} & set(options) and not any(
        each.startswith("usrjquota=") for each in options
    ):
        feature = " and tune2fs -O quota to the device" if kind == "ext4" else ""
        return (
            f"limits.disk: {where} ({kind}) is mounted without quotas for users: add usrquota to its options in "
            f"/etc/fstab{feature}, mount it again, or setting no disk."
        )
    return ""


def reported(text: str) -> dict[str, int]:
    """Read the hard limits in blocks, by number of the user, from `repquota --no-names`."""
    found = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[0].startswith("#") and fields[0][1:].isdecimal():
            found[fields[0][1:]] = int(fields[4])
    return found


def differing(limits: Sequence[Mapping[str, Any]], uids: Mapping[str, int], there: Mapping[str, int]) -> dict[str, int]:
    """Give the limits that must change, in blocks by name; 0 lifts one."""
    found = {}
    for entry in limits:
        name = str(entry["name"])
        if name not in uids:
            continue
        size = (entry.get("limits") or {}).get("disk")
        requested = blocks(str(size)) if size is not None else 0
        if requested != there.get(str(uids[name]), 0):
            found[name] = requested
    return found


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "limits": {"type": "list", "elements": "dict", "required": True},
            "only_check": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    limits = module.params["limits"]
    if not any((entry.get("limits") or {}).get("disk") is not None for entry in limits):
        module.exit_json(changed=False, names=[])
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    if found := problem("/home", mounts):
        module.fail_json(msg=f"Nothing was changed, because {found}")
    if module.params["only_check"]:
        module.exit_json(changed=False, names=[])
    where = mounted("/home", mounts)[0]
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    text = module.run_command(["repquota", "--user", "--no-names", where], check_rc=True)[1]
    uids = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    changes = differing(limits, uids, reported(text))
    for name, size in [] if module.check_mode else changes.items():
        module.run_command(["setquota", "--user", name, str(size), str(size), "0", "0", where], check_rc=True)
    module.exit_json(changed=bool(changes), names=sorted(changes))


if __name__ == "__main__":
    main()
