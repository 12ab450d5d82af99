#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.user_slices."""

from __future__ import annotations

DOCUMENTATION = r"""
module: user_slices
author: The gpulab team (@gpulab)
short_description: Resource limits of users, on the slice of everything that a user runs, and the list of users
description:
  - Lists each user as an empty file C(UID.OWNER) in a directory; C(gpulab-server@.service) starts for listed uids only.
  - Writes a drop-in of C(user-UID.slice) for each user and removes those of users who are not named any more.
    systemd applies them at once, also to sessions that run.
  - Logins over SSH run in that slice (pam_systemd), and so do the hub's servers, so that one limit covers both.
options:
  owner:
    description: Name of the drop-ins. Whoever calls the module twice on a host takes another one each time.
    type: str
    required: true
  limits:
    description: The users and the properties of their slices; everybody else's drop-in of this owner is removed.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Login name. One without an account is passed over in check mode and rejected otherwise.
        type: str
        required: true
      properties:
        description: Properties of systemd.resource-control(5).
        type: dict
        default: {}
      limits:
        description: The same as they were requested, for the user to read.
        type: dict
        default: {}
  root:
    description: Directory of the units.
    type: path
    default: /etc/systemd/system
  users:
    description: Directory of the list of users.
    type: path
    default: /etc/gpulab/users
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: full
    description: Shows the limits that change.
"""

EXAMPLES = r"""
- name: Give ada four cores and 16 GB
  gpulab.core.user_slices:
    owner: gpulab-users
    limits:
      - name: ada
        properties: {CPUQuota: 400%, MemoryMax: 16G}
"""

RETURN = r"""
slices:
  description: Names of the slices whose limits changed.
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

from ansible_collections.gpulab.core.plugins.module_utils.whole_files import difference, write_whole

HEAD = "# Made by gpulab (role users): the setting decides, not this file.\n"


def drop_in(name: str, properties: Mapping[str, str]) -> str:
    """Write the drop-in of one user; the accounting that a limit needs comes with it."""
    lines = [f"{key}={value}" for key, value in sorted(properties.items())]
    return f"{HEAD}# {name}\n[Slice]\nCPUAccounting=yes\nMemoryAccounting=yes\nTasksAccounting=yes\n" + "".join(
        f"{line}\n" for line in lines
    )


def wanted(
    limits: Sequence[Mapping[str, Any]], uids: Mapping[str, int], owner: str, root: Path, users: Path
) -> tuple[dict[Path, str], list[str]]:
    """Give the files as they should be, and the users who have no account."""
    files, missing = {}, []
    for entry in limits:
        name = str(entry["name"])
        if name not in uids:
            missing.append(name)
            continue
        path = root / f"user-{uids[name]}.slice.d" / f"50-{owner}.conf"
        files[path] = drop_in(name, entry.get("properties") or {})
        files[users / f"{uids[name]}.{owner}"] = ""
    return files, missing


def there(owner: str, root: Path, users: Path) -> dict[Path, str]:
    """Read the files of this owner that are there."""
    paths = [*root.glob(f"user-*.slice.d/50-{owner}.conf"), *users.glob(f"*.{owner}")]
    return {path: path.read_text(encoding="utf-8") for path in paths}


def write(files: Mapping[Path, str], stale: Sequence[Path]) -> None:
    """Write what differs, whole or not at all, and remove what nobody settings any more."""
    for path, text in files.items():
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.parent.chmod(0o755)
        write_whole(path, text, 0o644)
    for path in stale:
        path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()


def main() -> None:
    """Run the module."""
    entry = {
        "name": {"type": "str", "required": True},
        "properties": {"type": "dict", "default": {}},
        "limits": {"type": "dict", "default": {}},
    }
    module = AnsibleModule(
        argument_spec={
            "owner": {"type": "str", "required": True},
            "limits": {"type": "list", "elements": "dict", "required": True, "options": entry},
            "root": {"type": "path", "default": "/etc/systemd/system"},
            "users": {"type": "path", "default": "/etc/gpulab/users"},
        },
        supports_check_mode=True,
    )
    owner, root, users = module.params["owner"], Path(module.params["root"]), Path(module.params["users"])
    uids = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    files, missing = wanted(module.params["limits"], uids, owner, root, users)
    if missing and not module.check_mode:
        module.fail_json(msg=f"{', '.join(missing)}: there is no such account to give a limit to.")
    found = there(owner, root, users)
    changes = {path: text for path, text in files.items() if found.get(path) != text}
    stale = [path for path in found if path not in files]
    slices = sorted({path.parent.name.removesuffix(".d") for path in [*changes, *stale] if path.suffix == ".conf"})
    diff = [difference(path, found.get(path, ""), files.get(path, "")) for path in [*changes, *stale]]
    if not module.check_mode and (changes or stale):
        write(changes, stale)
        if os.path.isdir("/run/systemd/system"):  # noqa: PTH112  # as sd_booted(3) defines it
            module.run_command(["systemctl", "daemon-reload"], check_rc=True)
    module.exit_json(changed=bool(changes or stale or missing), slices=slices, diff=diff)


if __name__ == "__main__":
    main()
