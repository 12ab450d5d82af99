# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparable version numbers."""

from __future__ import annotations


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version for comparisons; the first part that is not a number ends them."""
    result = []
    for part in version.split("."):
        if not part.isdigit():
            break
        result.append(int(part))
    return tuple(result)
