# SPDX-License-Identifier: GPL-3.0-or-later
"""A class from a spreadsheet: its accounts, and lines that are rejected by their number."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleError

from ansible_collections.gpulab.core.plugins.lookup.class_list import LookupModule
from ansible_collections.gpulab.core.plugins.plugin_utils.users.class_list import accounts

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKz82I3VnE8MeuUGAoOhFBakxbHz+0vgUHCdiTE1LjEP ada@laptop"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_list_is_read_as_spreadsheets_save_it(delimiter: str) -> None:
    """With any usual delimiter, a byte order mark, quotes, comments, empty lines and Windows' line ends."""
    rows = [["name", "group", "key", "uid"], ["ada", "class-2026 staff", f'"{KEY}"', "2001"], ["grace", "", "", ""]]
    text = "\ufeff# a class\r\n" + "\r\n".join(delimiter.join(row) for row in rows) + f"\r\n{delimiter * 3}\r\n\r\n"
    found, problems = accounts(text)
    assert problems == []
    assert found == [
        {"name": "ada", "groups": ["class-2026", "staff"], "ssh_keys": [KEY], "uid": 2001},
        {"name": "grace"},
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1 must name the columns"),
        ("ada,class-2026\n", "line 1 must name the columns"),
        ("name,grup\nada,x\n", "line 1: there is no column 'grup'; the columns are name, group"),
        ("name,name\nada,x\n", "line 1 names the column name twice"),
        ("name,group\n", "it has no accounts"),
        ("name,group\nada,x\n\ngrace\n", "line 4 has 1 columns instead of 2"),
        ("name,group\nada,x\nada,y\n", "line 3: ada is in line 2 already"),
        ("name,group\nAda Lovelace,x\n", "line 2: user 'Ada Lovelace'"),
        ("name,group\nada,Class!\n", "line 2: group 'Class!'"),
        ("name,key\nada,ssh-ed25519 AAAA\n", "line 2: user 'ada': SSH key 1 is not a public key"),
        ("name,uid\nada,many\n", "line 2: user 'ada': uid many is not a number"),
        ("name,expires\nada,31.3.2027\n", "line 2: user 'ada': expires: 31.3.2027"),
        ("# one\nname\n# two\nroot\n", "line 4: user 'root'"),
    ],
)
def test_broken_line_is_named_by_its_number(text: str, words: str) -> None:
    """As an editor counts lines, comments and empty ones included."""
    problems = accounts(text)[1]
    assert len(problems) == 1
    assert words in problems[0]


def test_all_broken_lines_come_in_one_message(tmp_path: Path) -> None:
    """A list of a hundred is not corrected line by line."""
    (tmp_path / "class.csv").write_text("name\nAda\nok\nGrace\n", encoding="utf-8")
    with pytest.raises(AnsibleError, match=r"class list class\.csv: line 2: .*line 4: "):
        LookupModule().run(["class.csv"], {"inventory_dir": str(tmp_path)})


def test_missing_file_and_binary_file_are_named(tmp_path: Path) -> None:
    """A spreadsheet's own format is not CSV."""
    (tmp_path / "class.xlsx").write_bytes(b"PK\x03\x04\xff\xfe")
    for name in ("missing.csv", str(tmp_path / "class.xlsx")):
        with pytest.raises(AnsibleError, match="save it as CSV in UTF-8"):
            LookupModule().run([name], {})


def test_lookup_gives_one_list(tmp_path: Path) -> None:
    """It can be added to another list, also when it names one user only."""
    (tmp_path / "class.csv").write_text("name\nada\n", encoding="utf-8")
    assert LookupModule().run([str(tmp_path / "class.csv")], {}) == [[{"name": "ada"}]]
    both = LookupModule().run([str(tmp_path / "class.csv")], {}, others=[{"name": "eve"}])
    assert both == [[{"name": "eve"}, {"name": "ada"}]]
