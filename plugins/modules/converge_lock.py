#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.converge_lock."""

from __future__ import annotations

DOCUMENTATION = r"""
module: converge_lock
author: The gpulab team (@gpulab)
short_description: One converge at a time on a host
description:
  - Takes or gives back the lock of a host, so that two controllers do not change it at the same time.
  - A lock whose run has ended, on this controller, or that is older than O(stale_hours), on another one, is taken over.
  - The lock lives in /run, so a restart of the host drops it. Taking it is not a change.
options:
  state:
    description: Whether to take the lock or to give it back.
    type: str
    choices: [present, absent]
    default: present
  stale_hours:
    description: After how many hours another controller's lock counts as left behind.
    type: float
    default: 4
  path:
    description: File of the lock.
    type: path
    default: /run/gpulab-converge.json
  me:
    description: Who takes the lock. The controller's side fills it in, whatever a playbook says.
    type: dict
    default: {}
  instead_of:
    description: The holder that is taken over. The controller's side fills it in, whatever a playbook says.
    type: dict
    default: {}
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: none
    description: Changes nothing that lasts, so there is nothing to show.
"""

EXAMPLES = r"""
- name: Take the lock of the host
  gpulab.core.converge_lock:
    state: present
"""

RETURN = r"""
holder:
  description: Who has the lock now, empty when nobody has.
  type: dict
  returned: always
"""

import json
import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule


def read(path: Path) -> dict[str, Any]:
    """Give the holder, nothing where there is none or the file is not readable as one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def take(path: Path, me: dict[str, Any], instead_of: dict[str, Any]) -> dict[str, Any]:
    """Take the lock when it is free, mine already, or held by exactly `instead_of`; give who has it afterwards."""
    holder = read(path)
    if holder and holder["run"] != me["run"] and holder != instead_of:
        return holder
    if not holder or holder["run"] != me["run"]:
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_text(json.dumps(me), encoding="utf-8")
        try:
            if holder or path.exists():  # left behind, or not readable as a lock
                fresh.replace(path)
            else:
                os.link(fresh, path)  # fails when somebody was faster
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
