#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.locked_environment."""

from __future__ import annotations

DOCUMENTATION = r"""
module: locked_environment
author: The gpulab team (@gpulab)
short_description: Python environments made from a lock, switched atomically
description:
  - Installs a hash-locked set of Python packages into a directory of its own, C(releases/ID) below O(path), and then
    lets the link C(current) point at it. Whoever uses the link never sees half an environment.
  - ID is a digest of everything that goes in, so that a run with the same input does nothing.
  - After the installation the hash of every file is compared with its wheel's RECORD, and the versions of the loaded
    cuDNN and NCCL with the lock. Packages that overwrite each other's files are rejected.
  - A release that an interrupted run left behind is removed and made again. The release before stays for a rollback.
  - Packages that the environment's owner wrote, and npm packages, can come along.
options:
  path:
    description: Directory of the environment.
    type: path
    required: true
  lock:
    description: Requirements file with hashes, on the controller (looked for in the role's C(files)).
    type: path
    required: true
  extras:
    description:
      - Further requirements files with hashes, on the controller, whose packages go into the same environment.
      - What they pin otherwise than O(lock), and what does not fit its packages, is rejected in uv's words.
    type: list
    elements: path
    default: []
  packages:
    description: Directories of Python packages on the controller, each with a C(pyproject.toml) built by hatchling.
    type: list
    elements: path
    default: []
  node:
    description: Directory on the controller with C(package.json) and C(package-lock.json). Needs node in the lock.
    type: path
  python:
    description: Interpreter that the environment is made with.
    type: path
    default: /usr/bin/python3
  uv:
    description: The uv program. Where it is absent and the lock itself names uv, pip installs that one first.
    type: path
    default: /opt/gpulab/tools/current/bin/uv
  index:
    description: One more index to look for the locked files in.
    type: str
    default: ""
  cache:
    description: Directory of the download cache that all environments share.
    type: path
    default: /var/cache/gpulab
  sources_file:
    description: File of C(NAME=value) lines that say where packages come from; it may be absent.
    type: path
    default: /etc/gpulab/sources.env
  state:
    description:
      - V(current) makes the release and lets O(path)C(/current) point at it.
      - V(prepared) only makes it, so that the large downloads may begin early, in the background (C(async)); whoever
        asks for V(current) then waits for it, and makes it again if it failed.
      - A prepared release can be made V(current) while its bytecode is being written. V(finished) is V(current), and
        waits for that too.
    type: str
    choices: [current, prepared, finished]
    default: current
  keep:
    description: How many older releases stay. One that a running process uses always does.
    type: int
    default: 1
  lock_text:
    description: Content of O(lock). The controller's side fills it in, whatever a playbook says.
    type: str
    default: ""
  extras_text:
    description: Content of O(extras). The controller's side fills it in, whatever a playbook says.
    type: list
    elements: str
    default: []
  packages_data:
    description: Content of O(packages). The controller's side fills it in, whatever a playbook says.
    type: list
    elements: dict
    default: []
  node_data:
    description: Content of O(node). The controller's side fills it in, whatever a playbook says.
    type: dict
    default: {}
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: full
    description: Shows the packages that come, go and change.
"""

EXAMPLES = r"""
- name: Install the hub
  gpulab.core.locked_environment:
    path: /opt/gpulab/hub
    lock: locks/hub.txt
    node: proxy
"""

RETURN = r"""
release:
  description: Directory of the release that is current now (in check mode, that would be).
  type: str
  returned: success
previous:
  description: Directory of the release that was current before, empty where there was none.
  type: str
  returned: success
"""

import os
import subprocess

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.installer_messages import explain
from ansible_collections.gpulab.core.plugins.module_utils.releases import InstallError, Release


def difference(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """Give Ansible's diff of two sets of versions."""
    lines = [
        "".join(f"{name}=={version}\n" for name, version in sorted(versions.items())) for versions in (before, after)
    ]
    return {"before": lines[0], "after": lines[1], "before_header": "installed", "after_header": "locked"}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "lock": {"type": "path", "required": True},
            "extras": {"type": "list", "elements": "path", "default": []},
            "packages": {"type": "list", "elements": "path", "default": []},
            "node": {"type": "path"},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "uv": {"type": "path", "default": "/opt/gpulab/tools/current/bin/uv"},
            "index": {"type": "str", "default": ""},
            "cache": {"type": "path", "default": "/var/cache/gpulab"},
            "sources_file": {"type": "path", "default": "/etc/gpulab/sources.env"},
            "state": {"type": "str", "choices": ["current", "prepared", "finished"], "default": "current"},
            "keep": {"type": "int", "default": 1},
            "lock_text": {"type": "str", "default": ""},
            "extras_text": {"type": "list", "elements": "str", "default": []},
            "packages_data": {"type": "list", "elements": "dict", "default": []},
            "node_data": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    os.umask(0o022)
    try:
        release = Release(module.params)
    except (OSError, subprocess.SubprocessError) as error:
        module.fail_json(msg=f"Python cannot be run as {module.params['python']}: {error}")
    before = release.versions_in_use()
    previous = str(release.current.resolve()) if release.current.is_symlink() else ""
    prepare_only = module.params["state"] == "prepared"
    finishing = module.params["state"] == "finished" and not release.has_bytecode()
    changed = not (release.is_complete() and (prepare_only or release.is_current())) or release.lacks_bytecode()
    result = {"changed": changed, "release": str(release.path), "previous": previous}
    if changed:
        result["diff"] = difference(before, release.versions())
    if (changed or finishing) and not module.check_mode:
        if prepare_only:
            # It runs next to other work (async): what users and other tasks wait for goes first.
            os.nice(10)
        try:
            release.bring(module.params["state"], module.params["keep"])
        except InstallError as error:
            module.fail_json(msg=f"{release.root}: {error}")
        except OSError as error:
            module.fail_json(msg=f"{release.root}: {explain('installation', str(error))}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
