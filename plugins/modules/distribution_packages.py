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
  - A package list that cannot be updated is named in a warning if the other lists have all packages.
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
  diagnose:
    description:
      - Internal. Set by the action plugin after a failure, to return its causes instead of the missing packages.
      - V(lists) updates the package lists once more and returns those that fail.
    type: str
    choices: ["", host, lists]
    default: ""
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
lock_holders:
  description: Processes that hold a lock of apt or dpkg.
  type: list
  elements: str
  returned: always
  sample: ["process 812 (/usr/bin/python3 /usr/bin/unattended-upgrade)"]
failed_lists:
  description: Package lists that cannot be updated, as sentences.
  type: list
  elements: str
  returned: with O(diagnose=lists)
  sample: ["/etc/apt/sources.list.d/old.list (http://ppa.example/x): 404 Not Found: correct it, or remove the file"]
full_file_systems:
  description: Mount points of file systems that apt writes to and that have no space.
  type: list
  elements: str
  returned: with O(diagnose)
  sample: [/var]
"""

import re
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.common import apt_problems, host_state

STATUS = Path("/var/lib/dpkg/status")
LISTS = Path("/var/lib/apt/lists")
WRITTEN = ("/usr", "/etc", "/boot", "/var/lib/dpkg", "/var/lib/apt/lists", "/var/cache/apt/archives", "/tmp")  # noqa: S108
"""Directories that apt and dpkg write to."""


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
            "diagnose": {"type": "str", "choices": ["", "host", "lists"], "default": ""},
        },
        supports_check_mode=True,
    )
    if not STATUS.is_file():
        module.fail_json(msg=f"{STATUS} does not exist: gpulab supports Debian and Ubuntu hosts.")
    holders = apt_problems.lock_holders()
    if module.params["diagnose"]:
        with_lists = module.params["diagnose"] == "lists"
        failed = apt_problems.failed_lists(apt_problems.update_output()) if with_lists else []
        module.exit_json(
            changed=False,
            lock_holders=holders,
            failed_lists=[apt_problems.list_sentence(entry) for entry in failed],
            full_file_systems=host_state.full_file_systems(map(Path, WRITTEN)),
        )
    present = installed(STATUS.read_text(encoding="utf-8", errors="replace"))
    missing = [name for name in module.params["name"] if name not in present]
    module.exit_json(changed=False, missing=missing, lists=any(LISTS.glob("*_Packages*")), lock_holders=holders)


if __name__ == "__main__":
    main()
