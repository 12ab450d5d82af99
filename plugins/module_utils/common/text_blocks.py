# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of ours in a file that others write too, between two marks."""

from __future__ import annotations

import re
from collections.abc import Sequence


def with_block(text: str, owner: str, lines: Sequence[str]) -> str:
    """Put an owner's lines into a text, or take them out; a block that is there keeps its place."""
    begin, end = f"# begin {owner}", f"# end {owner}"
    block = "".join(f"{line}\n" for line in [begin, *lines, end]) if lines else ""
    # Ansible's blockinfile writes its marks in capitals.
    there = re.compile(rf"^(?i:{re.escape(begin)})\n(?:.*\n)*?(?i:{re.escape(end)})\n", re.MULTILINE)
    if there.search(text):
        return there.sub(lambda _: block, text, count=1)
    return text + ("" if text.endswith("\n") or not text or not block else "\n") + block
