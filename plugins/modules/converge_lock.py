#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module gpulab.core.converge_lock."""

from __future__ import annotations

DOCUMENTATION = r"""
module: converge_lock
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Hold the lock of a host, so that one run at a time changes it
description:
  - Acquires or releases the lock of a host, so that two controllers do not change it at the same time.
  - Takes over a lock of this controller whose process has ended, and a lock of another controller that is older than
    O(stale_hours).
  - Reads and writes a file in /run, so a restart of the host removes the lock. Acquiring it does not count as a change.
options:
  state:
    description: Whether to acquire or to release the lock.
    type: str
    choices: [present, absent]
    default: present
  stale_hours:
    description: Age in hours after which the lock of another controller is taken over.
    type: float
    default: 4
  path:
    description: File of the lock.
    type: path
    default: /run/gpulab-converge.json
  me:
    description: The run that acquires the lock. The action plugin sets it.
    type: dict
    default: {}
  instead_of:
    description: The holder whose lock is taken over. The action plugin sets it.
    type: dict
    default: {}
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: none
    description: Changes nothing that lasts.
"""

EXAMPLES = r"""
- name: Acquire the lock of the host
  gpulab.core.converge_lock:
    state: present
"""

RETURN = r"""
holder:
  description: The run that holds the lock now, empty where none does.
  type: dict
  returned: always
  contains:
    run: {type: str, description: "Machine, process and start time of the run.", sample: "0f3c:4711:123456"}
    user: {type: str, description: User on the controller., sample: ada}
    controller: {type: str, description: Name of the controller., sample: laptop}
    pid: {type: int, description: Process on the controller., sample: 4711}
    since: {type: str, description: Time of the acquisition (ISO 8601)., sample: "2026-11-27T01:02:03+00:00"}
"""

import json
import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.common import host_state


def read(path: Path) -> dict[str, Any]:
    """Return the holder, or an empty dictionary where the file is missing or not valid."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def take(path: Path, me: dict[str, Any], instead_of: dict[str, Any]) -> dict[str, Any]:
    """Acquire the lock where it is free or held by `me` or exactly `instead_of`; return the holder afterwards."""
    holder = read(path)
    if holder and holder["run"] != me["run"] and holder != instead_of:
        return holder
    if not holder or holder["run"] != me["run"]:
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_text(json.dumps(me), encoding="utf-8")
        try:
            if holder or path.exists():  # taken over, or not a valid lock
                fresh.replace(path)
            else:
                os.link(fresh, path)  # fails where another run was faster
        except FileExistsError:
            return read(path)
        finally:
            fresh.unlink(missing_ok=True)
    return me


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "stale_hours": {"type": "float", "default": 4},
            "path": {"type": "path", "default": "/run/gpulab-converge.json"},
            "me": {"type": "dict", "default": {}},
            "instead_of": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    # First: without root's rights, other checks would give wrong reasons.
    if problem := host_state.privilege_problem():
        module.fail_json(msg=problem)
    path, me = Path(module.params["path"]), module.params["me"]
    if module.check_mode:
        module.exit_json(changed=False, holder=read(path) if module.params["state"] == "present" else {})
    if module.params["state"] == "present":
        module.exit_json(changed=False, holder=take(path, me, module.params["instead_of"]))
    if read(path).get("run") == me["run"]:
        path.unlink(missing_ok=True)
    module.exit_json(changed=False, holder=read(path))


if __name__ == "__main__":
    main()
