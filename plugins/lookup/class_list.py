# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup gpulab.core.class_list: accounts of a class from a CSV file."""

from __future__ import annotations

DOCUMENTATION = r"""
name: class_list
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Accounts of a class from a CSV file
description:
  - Reads a file with a line of column names (C(name), optionally C(group), C(key), C(uid), C(expires)) and a line per
    user, as a spreadsheet saves it, and returns the accounts in the form of the variable C(gpulab_users).
  - Several groups go into one column with blanks between. Commas, semicolons and tabs may separate the columns.
  - A line that cannot be an account is rejected by its number, all such lines in one message.
options:
  _terms:
    description: >-
      Files on the controller; a relative path is searched next to the inventory, then next to the playbook.
    type: list
    elements: str
    required: true
  others:
    description: >-
      Accounts that come before those of the files. Better than C(+), behind which Ansible hides errors of the lookup.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
gpulab_users: "{{ lookup('gpulab.core.class_list', 'class-2026.csv', others=staff) }}"
"""

RETURN = r"""
_raw:
  description: One list of accounts.
  type: list
  elements: list
  sample:
    - - {name: ivy, groups: [class-2026], ssh_keys: ["ssh-ed25519 AAAA... ivy@laptop"]}
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.gpulab.core.plugins.plugin_utils.users.class_list import accounts


class LookupModule(LookupBase):  # type: ignore[misc]
    """Read the files and check their lines."""

    def run(self, terms: list[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        """Return one list with the accounts of all files; the list around it keeps Ansible from unpacking it."""
        known = variables or {}
        directories = [Path(str(known[name])) for name in ("inventory_dir", "playbook_dir") if name in known]
        listed: list[dict[str, Any]] = list(kwargs.get("others") or [])
        for term in terms:
            candidates = (directory / term for directory in directories)
            path = next((candidate for candidate in candidates if candidate.is_file()), Path(term))
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise AnsibleError(f"class list {term} cannot be read ({error}): save it as CSV in UTF-8.") from error
            of_file, problems = accounts(text)
            if problems:
                raise AnsibleError(f"class list {term}: " + " ".join(problems))
            listed += of_file
        return [listed]
