#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module gpulab.core.locked_environment."""

from __future__ import annotations

DOCUMENTATION = r"""
module: locked_environment
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Install a Python environment from a lock file and switch to it atomically
description:
  - Installs a hash-locked set of Python packages into a directory of its own, C(releases/ID) below O(path), and then
    points the link C(current) to it. Users of the link never get half an environment.
  - ID is a digest of the entire content, so that a run with the same content changes nothing.
  - Compares every file with its wheel's RECORD after the installation, and the versions of the loaded cuDNN and NCCL
    with the lock. Packages that overwrite each other's files are rejected.
  - Builds a release again that an interrupted run left incomplete. Keeps the previous release for a rollback.
  - Can also install Python packages from directories on the controller, and npm packages.
options:
  path:
    description: Directory of the environment.
    type: path
    required: true
  lock:
    description: Requirements file with hashes, on the controller (searched in the role's C(files)).
    type: path
    required: true
  extras:
    description:
      - Further requirements files with hashes, on the controller, whose packages go into the same environment.
      - Packages that contradict O(lock) or do not fit its packages are rejected with uv's message.
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
    description: Python interpreter of the environment.
    type: path
    default: /usr/bin/python3
  uv:
    description: The uv program. If it does not exist and the lock pins uv, pip installs that version first.
    type: path
    default: /opt/gpulab/tools/current/bin/uv
  index:
    description: Additional package index for the locked files.
    type: str
    default: ""
  cache:
    description: Directory of the download cache that all environments share.
    type: path
    default: /var/cache/gpulab
  sources_file:
    description: File of C(NAME=value) lines with the settings of package sources; it may be absent.
    type: path
    default: /etc/gpulab/sources.env
  state:
    description:
      - V(present) builds the release and points O(path)C(/current) to it.
      - V(prepared) only builds it, so that large downloads can run in the background (C(async)) while other tasks run.
        A later task with V(present) waits for it, and builds the release again if that failed.
    type: str
    choices: [present, prepared]
    default: present
  keep:
    description: Number of older releases to keep. A release that a running process uses is never removed.
    type: int
    default: 1
  lock_text:
    description: Internal. Content of O(lock), set by the action plugin.
    type: str
    default: ""
  extras_text:
    description: Internal. Content of O(extras), set by the action plugin.
    type: list
    elements: str
    default: []
  packages_data:
    description: Internal. Content of O(packages), set by the action plugin.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the directory.
        type: str
        required: true
      archive:
        description: Its files, as a base64 tar archive.
        type: str
        required: true
  node_data:
    description: Internal. Content of the files in O(node) by name, set by the action plugin.
    type: dict
    default: {}
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: full
    description: Shows the packages that are added, removed and changed.
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
  description: Directory of the current release; in check mode, of the release that would be current.
  type: str
  returned: success
  sample: /opt/gpulab/hub/releases/3f2a9c1b7d5e
previous:
  description: Directory of the release that was current before, empty if there was none.
  type: str
  returned: success
  sample: /opt/gpulab/hub/releases/0c44e19a2b6f
"""

import os
import subprocess

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.common.addresses import secrets
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.installer_messages import explain
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.installers import InstallError
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.releases import Release


def difference(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """Return Ansible's diff of two sets of versions."""
    texts = [
        "".join(f"{name}=={version}\n" for name, version in sorted(versions.items())) for versions in (before, after)
    ]
    return {"before": texts[0], "after": texts[1], "before_header": "installed", "after_header": "locked"}


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
            "state": {"type": "str", "choices": ["present", "prepared"], "default": "present"},
            "keep": {"type": "int", "default": 1},
            "lock_text": {"type": "str", "default": ""},
            "extras_text": {"type": "list", "elements": "str", "default": []},
            "packages_data": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "archive": {"type": "str", "required": True},
                },
            },
            "node_data": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    module.no_log_values.update(secrets(module.params["index"]))
    os.umask(0o022)
    try:
        release = Release.from_params(module.params)
    except (OSError, subprocess.SubprocessError) as error:
        module.fail_json(msg=f"{module.params['path']}: python: {module.params['python']} cannot be run: {error}")
    prepare_only = module.params["state"] == "prepared"
    before = release.current_versions()
    changed = not (release.is_complete() and (prepare_only or release.is_current()))
    result = {
        "changed": changed,
        "release": str(release.path),
        "previous": str(release.current.resolve()) if release.current.is_symlink() else "",
    }
    if changed:
        result["diff"] = difference(before, release.content.versions())
    if changed and not module.check_mode:
        try:
            if prepare_only:
                release.prepare()
            else:
                release.install(module.params["keep"])
        except InstallError as error:
            module.fail_json(msg=f"{release.root}: {error}")
        except OSError as error:
            paths = (str(error.filename or ""), str(release.root), str(release.tools.cache))
            module.fail_json(msg=f"{release.root}: {explain('installation', str(error), paths)}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
