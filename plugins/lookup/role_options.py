# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lookup gpulab.core.role_options."""

from __future__ import annotations

DOCUMENTATION = r"""
name: role_options
author: The gpulab team (@gpulab)
short_description: The options of this collection's roles
description:
  - Reads the argument specification of every role of the collection.
options: {}
"""

EXAMPLES = r"""
- name: Show the options of the role users
  ansible.builtin.debug:
    msg: "{{ lookup('gpulab.core.role_options').users }}"
"""

RETURN = r"""
_raw:
  description: One dictionary, the names of the options by role.
  type: list
  elements: dict
"""

from pathlib import Path
from typing import Any

import yaml
from ansible.plugins.lookup import LookupBase

ROLES = Path(__file__).resolve().parents[2] / "roles"


class LookupModule(LookupBase):  # type: ignore[misc]
    """Give the options by role."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, list[str]]]:
        """Return one dictionary; there are no terms."""
        found: dict[str, set[str]] = {}
        for path in sorted(ROLES.glob("*/meta/argument_specs.yml")):
            entries = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values()
            found[path.parents[1].name] = {name for entry in entries for name in entry.get("options", {})}
        return [{role: sorted(names) for role, names in found.items()}]
