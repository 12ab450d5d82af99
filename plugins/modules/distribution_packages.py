#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.distribution_packages."""

from __future__ import annotations

DOCUMENTATION = r"""
module: distribution_packages
author: The gpulab team (@gpulab)
short_description: Distribution packages that must be installed
description:
  - Asks dpkg's own record first and calls M(ansible.builtin.apt) only when something is missing, so that a run with
    nothing to do costs no package list and no network.
  - In check mode it tells what is missing, also on a fresh image that has no package lists yet.
options:
  name:
    description: Names of packages.
    type: list
    elements: str
    required: true
  cache_valid_time:
    description: Age in seconds up to which package lists are not fetched again.
    type: int
    default: 3600
  lock_timeout:
    description: Seconds to wait for another package manager that is at work.
    type: int
    default: 300
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: full
    description: Shows the packages that are missing.
"""

EXAMPLES = r"""
- name: Install R
  gpulab.core.distribution_packages:
    name: [r-base-core]
"""

RETURN = r"""
missing:
  description: Packages that were not installed before.
  type: list
  elements: str
  returned: always
lists:
  description: Whether the host had lists of packages; a fresh image has none.
  type: bool
  returned: always
"""

import re
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

STATUS = Path("/var/lib/dpkg/status")
LISTS = Path("/var/lib/apt/lists")


def installed(status: str) -> set[str]:
    """Give the packages that dpkg's record calls installed and whole (dpkg(1), "Package states")."""
    found = set()
    for entry in status.split("\n\n"):
        name = re.search(r"^Package: (\S+)", entry, re.MULTILINE)
        if name and re.search(r"^Status: (install|hold) ok installed$", entry, re.MULTILINE):
            found.add(name[1])
    return found


def main() -> None:
    """Run the module: the part that only reads; the action plugin calls apt."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "list", "elements": "str", "required": True},
            "cache_valid_time": {"type": "int", "default": 3600},
            "lock_timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    if not STATUS.is_file():
        module.fail_json(msg=f"{STATUS} is not there: gpulab supports Debian and Ubuntu hosts.")
    there = installed(STATUS.read_text(encoding="utf-8", errors="replace"))
    missing = [name for name in module.params["name"] if name not in there]
    module.exit_json(changed=False, missing=missing, lists=any(LISTS.glob("*_Packages*")))


if __name__ == "__main__":
    main()
