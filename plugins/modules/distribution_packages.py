#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module gpulab.core.distribution_packages."""

from __future__ import annotations

DOCUMENTATION = r"""
module: distribution_packages
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Install distribution packages, with the repair of an interrupted dpkg
description:
  - Reads C(/var/lib/dpkg/status) on the managed host and calls M(ansible.builtin.apt) only where a package is missing,
    so that a run without changes needs no package lists and no network.
  - Continues an interrupted dpkg, updates lists of another mirror, and adds a hint to apt's messages.
  - In check mode it reports what is missing, also on an image without package lists.
options:
  name:
    description: Names of packages.
    type: list
    elements: str
    required: true
  cache_valid_time:
    description: Age in seconds up to which package lists are not updated.
    type: int
    default: 3600
  lock_timeout:
    description: Time limit in seconds for the end of another package manager.
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
  sample: [r-base-core]
lists:
  description: Whether the host had package lists.
  type: bool
  returned: always
  sample: true
"""

import re
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

STATUS = Path("/var/lib/dpkg/status")
LISTS = Path("/var/lib/apt/lists")


def installed(status: str) -> set[str]:
    """Return the packages that dpkg lists as completely installed (dpkg(1), "Package states")."""
    names = set()
    for entry in status.split("\n\n"):
        name = re.search(r"^Package: (\S+)", entry, re.MULTILINE)
        if name and re.search(r"^Status: (install|hold) ok installed$", entry, re.MULTILINE):
            names.add(name[1])
    return names


def main() -> None:
    """Run the reading part; the action plugin calls apt."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "list", "elements": "str", "required": True},
            "cache_valid_time": {"type": "int", "default": 3600},
            "lock_timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    if not STATUS.is_file():
        module.fail_json(msg=f"{STATUS} does not exist: gpulab supports Debian and Ubuntu hosts.")
    present = installed(STATUS.read_text(encoding="utf-8", errors="replace"))
    missing = [name for name in module.params["name"] if name not in present]
    module.exit_json(changed=False, missing=missing, lists=any(LISTS.glob("*_Packages*")))


if __name__ == "__main__":
    main()
