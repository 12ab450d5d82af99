# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that are searched for kernels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def users_kernel_directories(directories: Iterable[str], server: str) -> list[str]:
    """Return the directories outside the environment `server`, which holds the server itself."""
    own = Path(server).resolve()
    return [directory for directory in directories if own not in Path(directory).resolve().parents]
