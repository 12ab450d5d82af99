# SPDX-License-Identifier: GPL-3.0-or-later
"""The licence line goes below what has to stay first in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.spdx import LINE, with_line

NOTICE = "# Copyright (c) the gpulab team\n# GNU General Public License v3.0+ (see LICENSE)\n"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.py", '"""A."""\n', f'# {LINE}\n"""A."""\n'),
        ("a.py", f'#!/usr/bin/python\n{NOTICE}"""A."""\n', f'#!/usr/bin/python\n{NOTICE}# {LINE}\n"""A."""\n'),
        ("a.yml", "---\na: 1\n", f"---\n# {LINE}\na: 1\n"),
        ("a.yml", "a: 1\n", f"# {LINE}\na: 1\n"),
        ("script", "#!/bin/sh\nset -eu\n", f"#!/bin/sh\n# {LINE}\nset -eu\n"),
        ("a.conf.j2", "x\n", f"{{# {LINE} #}}\nx\n"),
        ("a.json", "{}\n", "{}\n"),
        ("notes.txt", "x\n", "x\n"),
        ("__init__.py", "", ""),
        ("a.py", f"# {LINE}\n", f"# {LINE}\n"),
    ],
)
def test_line_is_added_once_in_its_place(name: str, text: str, expected: str) -> None:
    """Files that take no comment and empty ones stay as they are."""
    assert with_line(Path(name), text) == expected
