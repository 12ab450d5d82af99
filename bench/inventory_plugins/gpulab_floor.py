# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the gpulab authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The minimum work of an inventory plugin: ready-made variables through set_variable, no HTTP, no Jinja."""

from __future__ import annotations

DOCUMENTATION = r"""
name: gpulab_floor
short_description: Lower bound for the inventory benchmark
description: Puts hosts and variables of a JSON file into the inventory.
options:
  plugin:
    description: Marks the file.
    required: true
    choices: [gpulab_floor]
  data:
    description: Path of a JSON file, host name to variables.
    required: true
"""

import json
from pathlib import Path
from typing import Any

from ansible.plugins.inventory import BaseInventoryPlugin


class InventoryModule(BaseInventoryPlugin):  # type: ignore[misc]
    """Adds hosts."""

    NAME = "gpulab_floor"

    def verify_file(self, path: str) -> bool:
        """Accept floor files."""
        return path.endswith("floor.yml")

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Add every host."""
        super().parse(inventory, loader, path)
        self._read_config_data(path)
        for name, variables in json.loads(Path(self.get_option("data")).read_text()).items():
            self.inventory.add_host(name)
            for key, value in variables.items():
                self.inventory.set_variable(name, key, value)
