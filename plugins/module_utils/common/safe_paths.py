# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories in which root may work by path, because no other account can replace what is in them."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def unsafe_directory(directory: Path, trusted: Path = Path("/")) -> Path | None:
    """Return the first of a directory and its parents whose entries another account can replace, or None.

    Such a directory is not root's (or the caller's), or is writable by its group or others. Above the directory itself
    the sticky bit suffices. Links are followed where they lie in a safe directory. A directory that does not exist is
    safe: root makes it. Parents of `trusted` are not checked.
    """
    given = Path(os.path.abspath(directory))  # noqa: PTH100  # links are kept: what they lie in is checked, too
    lexical, real = [given, *given.parents], directory.resolve()
    for path in [*lexical, real, *real.parents]:
        if not path.is_relative_to(trusted):
            continue
        try:
            state = path.lstat()
        except FileNotFoundError:
            continue
        if state.st_uid not in (0, os.geteuid()):
            return path
        if stat.S_ISLNK(state.st_mode):
            continue
        sticky = state.st_mode & stat.S_ISVTX and path not in (lexical[0], real)
        if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not sticky:
            return path
    return None
