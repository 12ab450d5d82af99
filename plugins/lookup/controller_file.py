# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup gpulab.core.controller_file: path of a file on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
name: controller_file
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Path of a file on the controller
description:
  - Returns the absolute path of each file. A relative path is searched next to the inventory, then next to the playbook
    and in its directory C(files), then in the current directory.
  - Fails where a file is missing or cannot be read, and names the directories that it has searched.
options:
  _terms:
    description: Files on the controller.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
path: "{{ lookup('gpulab.core.controller_file', 'files/lab-ca.crt') }}"
"""

RETURN = r"""
_raw:
  description: Absolute paths.
  type: list
  elements: str
  sample: [/srv/site/inventory/mylab/files/lab-ca.crt]
"""

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.gpulab.core.plugins.plugin_utils import controller_files


class LookupModule(LookupBase):  # type: ignore[misc]
    """Search the files."""

    def run(self, terms: list[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the path of each file."""
        known = variables or {}
        problems = [problem for term in terms if (problem := controller_files.problem(str(term), known))]
        if problems:
            raise AnsibleError("; ".join(problems))
        return [str(controller_files.find(str(term), known)) for term in terms]
