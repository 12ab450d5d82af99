# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on the controller that a site names in its variables: where they are searched, and what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def candidates(name: str, variables: Mapping[str, Any]) -> list[Path]:
    """Return the paths at which a file may be, in the order of the search; of an absolute path only itself.

    A relative path belongs to the directory of the inventory, then to that of the playbook and its directory files,
    then to the current directory. `variables` are those of the host.
    """
    path = Path(name).expanduser()
    if path.is_absolute():
        return [path]
    inventory, playbook = (variables.get(key) for key in ("inventory_dir", "playbook_dir"))
    directories = [inventory, playbook, f"{playbook}/files" if playbook else None, "."]
    return [Path(str(directory)).absolute() / path for directory in directories if directory]


def find(name: str, variables: Mapping[str, Any]) -> Path | None:
    """Return the absolute path of a file, or None where there is none."""
    return next((path for path in candidates(name, variables) if path.is_file()), None)


def problem(name: str, variables: Mapping[str, Any]) -> str:
    """Return why a file cannot be read, with the directories that were searched; empty where it can."""
    if "-----BEGIN" in name:
        return "the value is the content of a file. Write it into a file, and name that"
    path = find(name, variables)
    if path is None:
        places = ", ".join(str(candidate.parent) for candidate in candidates(name, variables))
        return f"{name} is not a file on the controller (searched in {places})"
    return "" if os.access(path, os.R_OK) else f"{path} cannot be read by the user who runs Ansible"
