# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lookup gpulab.core.class_list: the accounts of a class from a CSV file."""

from __future__ import annotations

DOCUMENTATION = r"""
name: class_list
author: The gpulab team (@gpulab)
short_description: Accounts of a class from a CSV file
description:
  - Reads a file with a line of column names (C(name), and where wanted C(group), C(key), C(uid), C(expires)) and a line
    per user, as a spreadsheet saves it, and gives the accounts as the setting C(gpulab_users) has them.
  - Several groups stand in one column with blanks between. Commas, semicolons and tabs may part the columns.
  - A line that cannot be an account is rejected by its number, all such lines in one message.
options:
  _terms:
    description: Files on the controller; a relative path is looked for next to the inventory, then next to the
    playbook. type: list
    elements: str
    required: true
  others:
    description: >-
      Accounts that come before those of the files. Better than C(+), behind which Ansible hides what is wrong with one.
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
  elements: dict
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.gpulab.core.plugins.plugin_utils.class_list import accounts


class LookupModule(LookupBase):  # type: ignore[misc]
    """Read the files."""

    def run(self, terms: list[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        """Give one list with the accounts of all files; the second list keeps Ansible from unpacking it."""
        known = variables or {}
        directories = [Path(str(known[name])) for name in ("inventory_dir", "playbook_dir") if name in known]
        found: list[dict[str, Any]] = list(kwargs.get("others") or [])
        for term in terms:
            path = next((each / term for each in directories if (each / term).is_file()), Path(term))
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise AnsibleError(f"class list {term} cannot be read ({error}): save it as CSV in UTF-8.") from error
            listed, problems = accounts(text)
            if problems:
                raise AnsibleError(f"class list {term}: " + " ".join(problems))
            found += listed
        return [found]
