# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pack directories into text that an action plugin can send to a module."""

from __future__ import annotations

import base64
import io
import tarfile
from pathlib import Path

SKIPPED = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def pack(directory: Path) -> str:
    """Return the directory's files as a base64 tar archive whose bytes depend on names and content alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(directory.rglob("*")):
            if path.is_file() and not SKIPPED.intersection(path.relative_to(directory).parts):
                entry = tarfile.TarInfo(str(path.relative_to(directory)))
                entry.size = path.stat().st_size
                entry.mode = 0o644
                with path.open("rb") as content:
                    archive.addfile(entry, content)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
