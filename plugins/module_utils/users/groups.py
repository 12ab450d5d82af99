# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of the host's groups, those of gshadow(5) included. Internal to gpulab.core."""

from __future__ import annotations

import grp
from pathlib import Path

GSHADOW = Path("/etc/gshadow")


def in_gshadow(text: str) -> dict[str, list[str]]:
    """Return the members by group from the text of /etc/gshadow."""
    lines = [line.split(":") for line in text.splitlines()]
    return {line[0]: [name for name in line[3].split(",") if name] for line in lines if len(line) == 4}


def host_members() -> dict[str, list[str]]:
    """Return the members by group, also those who are in gshadow alone: newgrp(1) and sg(1) read no other list."""
    hidden = in_gshadow(GSHADOW.read_text(encoding="utf-8")) if GSHADOW.exists() else {}
    return {
        entry.gr_name: list(dict.fromkeys([*entry.gr_mem, *hidden.get(entry.gr_name, [])])) for entry in grp.getgrall()
    }
