# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are replaced in one step, so that no reader sees half of one, and Ansible's diff of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from ansible_collections.gpulab.core.plugins.module_utils.common.addresses import masked


def write_whole(path: Path, text: str, mode: int, owner: str | None = None, group: str | None = None) -> None:
    """Write a file whole or not at all.

    It is private until owner and mode are set, and lies in the same directory, so that the last step is a rename.
    Raises LookupError where the host has no such owner or group; nothing is left behind then.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    fresh = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        if owner and group:
            shutil.chown(fresh, owner, group)
        fresh.chmod(mode)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def difference(path: Path, before: str, after: str) -> dict[str, str]:
    """Give Ansible's diff of one path, without the logins of addresses."""
    return {"before_header": str(path), "after_header": str(path), "before": masked(before), "after": masked(after)}
