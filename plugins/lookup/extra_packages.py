# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup gpulab.core.extra_packages."""

from __future__ import annotations

DOCUMENTATION = r"""
name: extra_packages
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Find and check extra packages for the frameworks' environments
description:
  - Takes names of sets (C(geo), C(nlp), C(vision)) and requirements files with hashes, and finds the files on the
    controller.
  - Returns the problems as sentences, and does not fail.
  - Internal to the role P(gpulab.core.frameworks#role).
options:
  _terms:
    description: Sets, and files on the controller, relative to the inventory or to the playbook.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
requested: "{{ lookup('gpulab.core.extra_packages', ['geo', 'files/own.txt']) }}"
"""

RETURN = r"""
_raw:
  description: One dictionary, C(entries) (sets as they are, files with their absolute path) and C(problems).
  type: list
  elements: dict
  sample: [{entries: [geo, /srv/site/files/own.txt], problems: []}]
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.gpulab.core.plugins.module_utils.frameworks.profiles import SETS
from ansible_collections.gpulab.core.plugins.plugin_utils import controller_files
from ansible_collections.gpulab.core.plugins.plugin_utils.frameworks import extra_packages


class LookupModule(LookupBase):  # type: ignore[misc]
    """Find the files and check them."""

    def run(self, terms: list[Any], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return one dictionary."""
        known = variables or {}
        requested = [str(entry) for term in terms for entry in (term if isinstance(term, list) else [term])]
        problems = extra_packages.unknown_sets(requested, SETS)
        entries = []
        for entry in requested:
            if extra_packages.is_file(entry):
                path = controller_files.find(entry, known) or Path(entry).absolute()
                problems += extra_packages.file_problems(entry, path.read_text("utf-8") if path.is_file() else None)
                entries.append(str(path))
            else:
                entries.append(entry)
        return [{"entries": entries, "problems": problems}]
