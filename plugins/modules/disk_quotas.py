#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module gpulab.core.disk_quotas."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_quotas
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Disk quotas of users
description:
  - Sets the quotas of users on the file system of C(/home), where that is mounted with quotas for users.
  - Fails where it is not, names the file system and the way to enable quotas, and changes nothing. Users over their
    quota can still log in and delete files.
  - Reads C(/proc/self/mounts) and C(repquota) on the managed host. M(community.general.xfs_quota) manages XFS alone.
options:
  quotas:
    description:
      - Quota of each user, such as 50G. Null or an empty string removes a quota. A name without an account is skipped.
    type: dict
    required: true
  only_check:
    description: Fail where the file system has no quotas, and change nothing.
    type: bool
    default: false
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: none
    description: RV(names) has the users whose quotas change.
"""

EXAMPLES = r"""
- name: Limits | Limit ada to 50 GB
  gpulab.core.disk_quotas:
    quotas: {ada: 50G, grace: null}
"""

RETURN = r"""
names:
  description: Users whose quotas changed, or would in check mode.
  type: list
  elements: str
  returned: success
  sample: [ada]
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.users.accounts import named

FACTORS = {"K": 1, "M": 2**10, "G": 2**20, "T": 2**30}
"""Suffixes of sizes in blocks of 1024 bytes, as setquota(8) counts."""
PROGRAM_SECONDS = 300
"""Time limit of repquota(8), which reads a large file on large file systems, and of setquota(8)."""


def blocks(size: str) -> int:
    """Return a size such as 512M or 50G in blocks; a plain number is bytes."""
    return int(float(size[:-1]) * FACTORS[size[-1]]) if size[-1] in FACTORS else -(-int(float(size)) // 1024)


def mounted(path: str, mounts: str) -> tuple[str, str, list[str]]:
    """Return the file system of a path from the text of /proc/self/mounts: mount point, type, options."""
    entries = (line.split() for line in mounts.splitlines())
    above = [entry for entry in entries if path == entry[1] or path.startswith(entry[1].rstrip("/") + "/")]
    point, kind, options = max(above, key=lambda entry: len(entry[1]))[1:4]
    return point, kind, options.split(",")


def problem(path: str, mounts: str) -> str:
    """Return why homes below a path cannot have quotas, with the remedy; empty where they can."""
    point, kind, options = mounted(path, mounts)
    if kind not in ("ext4", "xfs"):
        return (
            f"limits.disk: {path} is on {kind}, which has no quotas for users. Use ext4 or xfs, or remove the limits "
            "from users_accounts (gpulab_users), users_groups (gpulab_groups) and users_limits."
        )
    if not {"usrquota", "quota", "uquota"} & set(options) and not any(
        option.startswith("usrjquota=") for option in options
    ):
        feature = " and tune2fs -O quota to the device" if kind == "ext4" else ""
        return (
            f"limits.disk: {point} ({kind}) is mounted without quotas for users. Add usrquota to its options in "
            f"/etc/fstab{feature} and mount it again, or remove the limit."
        )
    return ""


def reported(text: str) -> dict[str, int]:
    """Return the hard limits in blocks by uid, from the output of `repquota --no-names`."""
    quotas = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[0].startswith("#") and fields[0][1:].isdecimal():
            quotas[fields[0][1:]] = int(fields[4])
    return quotas


def differing(quotas: Mapping[str, str | None], uids: Mapping[str, int], current: Mapping[str, int]) -> dict[str, int]:
    """Return the quotas that must change, in blocks by user; 0 removes one."""
    changes = {}
    for name, size in quotas.items():
        requested = blocks(str(size)) if size else 0
        if name in uids and requested != current.get(str(uids[name]), 0):
            changes[name] = requested
    return changes


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "quotas": {"type": "dict", "required": True},
            "only_check": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    quotas: dict[str, Any] = module.params["quotas"]
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    if reason := problem("/home", mounts):
        module.fail_json(msg=f"Nothing was changed: {reason}")
    if module.params["only_check"]:
        module.exit_json(changed=False, names=[])
    point = mounted("/home", mounts)[0]
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    limit = ["timeout", "--kill-after=5", str(PROGRAM_SECONDS)]
    text = module.run_command([*limit, "repquota", "--user", "--no-names", point], check_rc=True)[1]
    uids = {name: entry.pw_uid for name, entry in named(quotas).items()}
    changes = differing(quotas, uids, reported(text))
    for name, size in [] if module.check_mode else changes.items():
        argv = [*limit, "setquota", "--user", name, str(size), str(size), "0", "0", point]
        module.run_command(argv, check_rc=True)
    module.exit_json(changed=bool(changes), names=sorted(changes))


if __name__ == "__main__":
    main()
