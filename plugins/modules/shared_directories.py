#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.shared_directories."""

from __future__ import annotations

DOCUMENTATION = r"""
module: shared_directories
author: The gpulab team (@gpulab)
short_description: Directories that a group works in together
description:
  - Makes a directory per group that belongs to root and the group, with the set-group-ID bit and a default access
    control list, so that members can read and change what others create in it, C(.ipynb_checkpoints) included.
  - Looks at the directories themselves and never at what is in them. A link in the place of a directory is rejected.
options:
  root:
    description: Directory of the directories.
    type: path
    required: true
  groups:
    description: The groups, each a directory of its name.
    type: list
    elements: str
    required: true
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: none
    description: Names the directories that it changed.
"""

EXAMPLES = r"""
- name: Let the class share a directory
  gpulab.core.shared_directories:
    root: /srv/shared
    groups: [class-2026]
"""

RETURN = r"""
directories:
  description: Directories that changed.
  type: list
  elements: str
  returned: always
"""

import grp
import os
import stat
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.safe_paths import unsafe_directory

MODE = 0o2770


def rules(group: str) -> set[str]:
    """Give the default list of a directory, as getfacl prints it."""
    return {
        "default:user::rwx",
        "default:group::rwx",
        f"default:group:{group}:rwx",
        "default:mask::rwx",
        "default:other::---",
    }


def fits(path: Path, group: str, gid: int, listed: str) -> bool:
    """Tell whether a directory is as requested; `listed` is what getfacl says of it."""
    found = path.lstat()
    return (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, gid, MODE) and {
        line for line in listed.splitlines() if line.startswith("default:")
    } == rules(group)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "groups": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    root = Path(module.params["root"])
    gids = {entry.gr_name: entry.gr_gid for entry in grp.getgrall()}
    directories = {group: root / group for group in module.params["groups"]}
    for path in [root, *directories.values()]:
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            module.fail_json(msg=f"{path} is there and is no directory: move it away, nothing was changed.")
    if unsafe := unsafe_directory(root):
        module.fail_json(
            msg=f"{root}: other accounts can replace what is in {unsafe}, so root makes no directories there. "
            f"Nothing was changed. Give {unsafe} to root without write access of its group or others, or set "
            "users_shared_path."
        )
    changed = []
    for group, path in directories.items():
        if path.is_dir() and group in gids:
            listed = module.run_command(["getfacl", "--omit-header", "--absolute-names", str(path)])[1]
            if fits(path, group, gids[group], listed):
                continue
        changed.append(str(path))
        if module.check_mode:
            continue
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        os.chown(path, 0, gids[group], follow_symlinks=False)
        module.run_command(["setfacl", "--remove-all", str(path)], check_rc=True)
        path.chmod(MODE)
        listed = ",".join(sorted(rules(group)))
        module.run_command(["setfacl", "--modify", listed, str(path)], check_rc=True)
    module.exit_json(changed=bool(changed), directories=changed)


if __name__ == "__main__":
    main()
