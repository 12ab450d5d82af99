#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module gpulab.core.revoked_memberships."""

from __future__ import annotations

DOCUMENTATION = r"""
module: revoked_memberships
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Remove single members of groups
description:
  - Removes users from the lists of members of groups, group(5) and gshadow(5). Other members and the groups stay.
  - Reads both files on the managed host. M(ansible.builtin.user) sets all groups of a user instead, does not read
    gshadow(5), and shows no members in its diff.
options:
  memberships:
    description: The memberships. A missing one is skipped.
    type: list
    elements: dict
    required: true
    suboptions:
      group:
        description: Name of the group.
        type: str
        required: true
      name:
        description: Name of the user.
        type: str
        required: true
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: full
    description: Shows the members of each group that changes.
"""

EXAMPLES = r"""
- name: Revoke | Remove victor from the class
  gpulab.core.revoked_memberships:
    memberships: [{group: class-2026, name: victor}]
"""

RETURN = r"""
removed:
  description: Memberships that were removed, or would be, each as C(NAME from GROUP).
  type: list
  elements: str
  returned: success
  sample: [victor from class-2026]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.users.groups import host_members


def main() -> None:
    """Run the module."""
    options = {"group": {"type": "str", "required": True}, "name": {"type": "str", "required": True}}
    module = AnsibleModule(
        argument_spec={"memberships": {"type": "list", "elements": "dict", "required": True, "options": options}},
        supports_check_mode=True,
    )
    host = host_members()
    after = {group: list(members) for group, members in host.items()}
    removed = []
    for membership in module.params["memberships"]:
        group, name = membership["group"], membership["name"]
        if name not in after.get(group, []):
            continue
        if not module.check_mode:
            module.run_command(["timeout", "--kill-after=5", "60", "gpasswd", "--delete", name, group], check_rc=True)
        after[group].remove(name)
        removed.append(f"{name} from {group}")
    changed = [group for group in host if host[group] != after[group]]
    module.exit_json(
        changed=bool(removed),
        removed=removed,
        diff=[
            {
                "before_header": f"members of {group}",
                "after_header": f"members of {group}",
                "before": "".join(f"{name}\n" for name in host[group]),
                "after": "".join(f"{name}\n" for name in after[group]),
            }
            for group in changed
        ],
    )


if __name__ == "__main__":
    main()
