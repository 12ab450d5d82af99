# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data between fetch, cache and build: raw API answers, and what to request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]


@dataclass
class Snapshot:
    """Raw API answers, as they came, per project; what the cache holds."""

    instances: dict[str, list[Row]] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    os_login: dict[str, bool] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    complete: bool = True


@dataclass(frozen=True)
class Needs:
    """What to request from the service next to the plain list: fields is None for every field of an instance."""

    fields: tuple[str, ...] | None
    images: bool = False
    os_login: bool = False


def resource_path(link: str) -> str:
    """Return the part of a resource's URL that does not depend on the host it was read from."""
    start = link.find("projects/")
    return link[start:] if start >= 0 else link


def is_true(value: object) -> bool:
    """Read a metadata value as Google's guest agent does."""
    return str(value).strip().lower() in ("true", "1", "y", "yes")
