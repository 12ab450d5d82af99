# SPDX-License-Identifier: GPL-3.0-or-later
"""A class from a spreadsheet: its accounts, and lines that are rejected by their number."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from passlib.hash import sha512_crypt

from ansible_collections.gpulab.core.plugins.lookup.class_list import LookupModule
from ansible_collections.gpulab.core.plugins.plugin_utils.users.class_list import accounts

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKz82I3VnE8MeuUGAoOhFBakxbHz+0vgUHCdiTE1LjEP ada@laptop"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_list_is_read_as_spreadsheets_save_it(delimiter: str) -> None:
    """With any usual delimiter, a byte order mark, quotes, comments, empty lines and Windows' line ends."""
    rows = [["name", "group", "key", "uid"], ["ada", "class-2026 staff", f'"{KEY}"', "2001"], ["grace", "", "", ""]]
    text = "\ufeff# a class\r\n" + "\r\n".join(delimiter.join(row) for row in rows) + f"\r\n{delimiter * 3}\r\n\r\n"
    found = accounts(text)
    assert (found.problems, found.ignored) == ([], [])
    assert found.accounts == [
        {"name": "ada", "groups": ["class-2026", "staff"], "ssh_keys": [KEY], "uid": 2001},
        {"name": "grace"},
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1 must name the columns"),
        ("ada,class-2026\n", "line 1 must name the columns"),
        ("name,grup\nada,x\n", "line 1: there is no column 'grup': did you mean group? The columns are name, group"),
        ("Klasse 2026\nname,expire\nada,x\n", "line 2: there is no column 'expire': did you mean expires?"),
        ("name,Password\nada,hunter2\n", "line 1: passwords in plain text are not accepted"),
        ("name,password_hash\nada,hunter2\n", "line 2: user 'ada': password_hash is not a crypt hash"),
        ("sep=;\nlogin;group\nada;x\n", "line 2 must name the columns"),
        ('name,key\nada,"ssh-ed25519\ngrace,\n', 'line 2: a quotation mark (") has no counterpart'),
        ('name,key\nada,"x"y\n', 'line 2: a quotation mark (") has no counterpart'),
        ("name,group\nada,x,y\n", "line 2 has 3 columns instead of 2"),
        ("name,group\nada,class\u20132026\n", "line 2: group 'class\u20132026' is not an acceptable name, because it"),
        ("name,group\nada\u00a0lovelace,x\n", "line 2: user 'ada lovelace'"),
        ("name\n1234\n", "line 2: user '1234'"),
        ("name\nGrace.Hopper\n", "line 2: user 'Grace.Hopper'"),
        (f"name,key\nada,{KEY[:-20]}\n", "line 2: user 'ada': SSH key 1 is not a public key: its data are incomplete"),
        ("name,name\nada,x\n", "line 1 names the column name twice"),
        ("name,group\n", "it has no accounts"),
        ("name,group\nada,x\n\ngrace\n", "line 4 has 1 columns instead of 2"),
        ("name,group\nada,x\nada,y\n", "line 3: ada is in line 2 already. Keep one line, with all groups"),
        ('name,key\nada,"\n\n"\ngrace,x\n', "line 5: user 'grace': SSH key 1"),
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
    problems = accounts(text).problems
    assert len(problems) == 1
    assert words in problems[0]


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nname;group\nada;class-2026\n",
        '"sep=;"\r\nname;group\r\nada;class-2026\r\n',
        "SEP=|\nname|group\nada|class-2026\n",
        "Class of 2026;;\n;;\nname;group;\nada;class-2026;\n",
        "Export, made on 1.10.2026\n\n# by hand\nName,Groups\nada,class-2026,,\n",
        "\ufeffName ;\u00a0Group\n ada ;class-2026\u00a0\n",
        "name,group\rada,class-2026\r",
        '"name","group"\n"ada","class-2026"\n"",""\n',
        "name\tgroup\nada\tclass-2026\n",
    ],
)
def test_list_is_read_as_other_programs_write_it(text: str) -> None:
    """With Excel's line sep=, a title above the column names, blanks that do not show, and line ends of all systems."""
    assert accounts(text) == ([{"name": "ada", "groups": ["class-2026"]}], [], [])


def test_quoted_field_may_hold_line_breaks() -> None:
    """A key with the line break of its file, and one that PuTTYgen saved; later lines keep their numbers."""
    putty = f'---- BEGIN SSH2 PUBLIC KEY ----\nComment: ""ada""\n{KEY.split()[1]}\n---- END SSH2 PUBLIC KEY ----'
    found = accounts(f'name,key\nada,"{KEY}\n"\ngrace,"{putty}"\nEve,\n')
    assert found.problems == [problem for problem in found.problems if problem.startswith("line 8: user 'Eve'")]
    assert [account["name"] for account in found.accounts] == ["ada", "grace", "Eve"]
    assert found.accounts[0]["ssh_keys"] == [KEY]


def test_other_columns_are_named_and_ignored() -> None:
    """A roster has columns of its own; empty ones of a spreadsheet are not worth a word."""
    found = accounts("id;Nachname;name;group;Kommentar;E-Mail;;\n7;Lovelace;ada;x;gut;a@b;;\n")
    assert found.accounts == [{"name": "ada", "groups": ["x"]}]
    assert found.ignored == ["id", "nachname", "kommentar", "e_mail"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "iso8859-15"])
def test_file_is_read_in_the_encodings_of_spreadsheets(tmp_path: Path, encoding: str) -> None:
    """Also the one of Western Windows: names and groups have no umlauts, comments and other columns may."""
    (tmp_path / "class.csv").write_bytes("# für Übungen\nname;Straße\nada;Größe\n".encode(encoding))
    assert LookupModule().run(["class.csv"], {"inventory_dir": str(tmp_path)}) == [[{"name": "ada"}]]


def test_start_passwords_are_made_once_and_kept_closed(tmp_path: Path) -> None:
    """They match their hashes, a later list keeps them, a hash of the list wins, and a lost mode is repaired."""
    digest = "$6$salt$" + "x" * 86
    path, sheet = tmp_path / "class.csv", tmp_path / "class.passwords.csv"
    path.write_text(f"name,password_hash\nada,\ngrace,{digest}\n")
    first = LookupModule().run([str(path)], {}, start_passwords=True)[0]
    assert first[1] == {"name": "grace", "password_hash": digest}
    assert {key: first[0][key] for key in ("password_update", "password_temporary")} == {
        "password_update": "on_create",
        "password_temporary": True,
    }
    header, row = sheet.read_text().splitlines()
    name, password, stored = row.split(",")
    assert (header, name, stored) == ("name,password,password_hash", "ada", first[0]["password_hash"])
    assert sha512_crypt.verify(password, stored)
    assert len(password) == 14
    sheet.chmod(0o644)
    path.write_text("name\nivy\nada\n")
    second = LookupModule().run([str(path)], {}, start_passwords="yes", temporary=False)[0]
    assert second[1] == {**first[0], "password_temporary": False}
    assert second[0]["password_hash"] != stored
    assert sheet.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == ["class.csv", "class.passwords.csv"]


def test_file_that_is_no_sheet_is_not_overwritten(tmp_path: Path) -> None:
    """Its columns are named, its content is not."""
    (tmp_path / "class.csv").write_text("name\nada\n")
    (tmp_path / "class.passwords.csv").write_text("name,password\nada,hunter2\n")
    with pytest.raises(AnsibleError, match="must have the columns name, password, password_hash") as error:
        LookupModule().run([str(tmp_path / "class.csv")], {}, start_passwords=True)
    assert "hunter2" not in str(error.value)


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
