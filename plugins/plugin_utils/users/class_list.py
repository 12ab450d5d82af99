# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of a class from CSV, as spreadsheets save it, and its problems by line number. Pure functions."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

from ansible_collections.gpulab.core.plugins.plugin_utils.users.problems import account_problems, group_name_problems
from ansible_collections.gpulab.core.plugins.plugin_utils.users.values import group_names

COLUMNS = ("name", "group", "key", "uid", "expires", "password_hash")
OTHER_NAMES = {"groups": "group", "keys": "key", "ssh_key": "key", "ssh_keys": "key"}
DELIMITERS = ",;\t"
"""Characters that spreadsheets put between columns; the country decides which one."""
SEPARATOR_LINE = re.compile(r'^"?sep=(.)"?[,;\s]*$', re.IGNORECASE)
"""A first line that names the character between the columns to Excel."""
LINES_ABOVE = 20
"""In so many lines the column names are searched; a title may stand above them."""
SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of .xlsx, .ods and .xls files."""
INVISIBLE = str.maketrans({"\u00a0": " ", "\u200b": None, "\ufeff": None})


class ClassList(NamedTuple):
    """Accounts of a list, its problems, and the columns that are not used."""

    accounts: list[dict[str, Any]]
    problems: list[str]
    ignored: list[str]


def decoded(data: bytes) -> str:
    """Return the text of a file in UTF-8, in UTF-16 as Excel's "Unicode text", or in Windows' code page 1252.

    Names and groups have no letters in which the code pages of Western Windows differ. Raises ValueError where the file
    is not text.
    """
    if data.startswith(SPREADSHEETS):
        raise ValueError("it is a spreadsheet")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", errors="replace")
    if "\0" in text:
        raise ValueError("it is not text")
    return text


def accounts(text: str) -> ClassList:
    """Return the accounts of a list. Empty lines, lines that begin with #, and a title above the names are skipped."""
    lines = list(io.StringIO(text.removeprefix("\ufeff"), newline=None))
    header, delimiter, columns = _header(lines)
    if problems := _header_problems(header, columns):
        return ClassList([], problems, [])
    listed: list[dict[str, Any]] = []
    problems, line_of = [], dict[str, int]()
    for number, fields in _rows(lines, header, delimiter):
        if isinstance(fields, str):
            problems.append(f"line {number}: {fields}")
            continue
        values = [*fields[: len(columns)], *(field for field in fields[len(columns) :] if field.strip())]
        if len(values) != len(columns):
            problems.append(f"line {number} has {len(values)} columns instead of {len(columns)}.")
            continue
        account = _account(dict(zip(columns, (_cleaned(value) for value in values), strict=True)))
        name = account["name"]
        faults = [*account_problems(account), *group_name_problems(account.get("groups", []))]
        problems += [f"line {number}: {fault}" for fault in faults]
        if name in line_of:
            problems.append(
                f"line {number}: {name} is in line {line_of[name]} already. Keep one line, with all groups."
            )
        line_of.setdefault(name, number)
        listed.append(account)
    if not listed and not problems:
        problems.append("it has no accounts below the column names.")
    return ClassList(listed, problems, [name for name in columns if name and name not in COLUMNS])


def _cleaned(field: str) -> str:
    return field.translate(INVISIBLE).strip()


def _header(lines: list[str]) -> tuple[int, str, list[str]]:
    """Return the number of the line with the column names, the character between columns, and the names."""
    named, first = "", None
    for number, line in enumerate(lines[:LINES_ABOVE], start=1):
        if match := SEPARATOR_LINE.match(line):
            named = match[1]
        elif line.strip() and not line.startswith("#"):
            delimiter = named or max(DELIMITERS, key=line.count)
            columns = [_column(name) for name in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))]
            if "name" in columns:
                return number, delimiter, columns
            first = first or (number, delimiter, columns)
    return first or (1, DELIMITERS[0], [])


def _column(name: str) -> str:
    """Return the name of a column in the form in which columns are compared."""
    plain = re.sub(r"[\s-]+", "_", _cleaned(name).lower())
    return OTHER_NAMES.get(plain, plain)


def _rows(lines: list[str], header: int, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the rows below the header with the number of their first line; of a row that cannot be read, the reason.

    A quoted field may hold line breaks (RFC 4180).
    """
    source = iter(enumerate(lines[header:], start=header + 1))
    for number, line in source:
        if not line.strip(f'{delimiter}" \n') or line.startswith("#"):
            continue
        following = (next_line for _number, next_line in source)
        reader = csv.reader(chain([line], following), delimiter=delimiter, skipinitialspace=True, strict=True)
        try:
            fields = next(reader, [])
        except csv.Error:
            yield number, 'a quotation mark (") has no counterpart.'
        else:
            yield number, fields


def _header_problems(number: int, columns: list[str]) -> list[str]:
    """Return what is wrong with the line of column names."""
    known = ", ".join(COLUMNS)
    if "name" not in columns:
        return [f"line {number} must name the columns ({known}), name among them."]
    if "password" in columns:
        return [
            f"line {number}: passwords in plain text are not accepted. Remove the column password; the option "
            "start_passwords makes passwords, and the column password_hash holds hashes (openssl passwd -6)."
        ]
    missing = [name for name in COLUMNS if name not in columns]
    for name in columns:
        if name not in COLUMNS and (similar := difflib.get_close_matches(name, missing, n=1, cutoff=0.82)):
            return [f"line {number}: there is no column {name!r}: did you mean {similar[0]}? The columns are {known}."]
    twice = [name for name in COLUMNS if columns.count(name) > 1]
    return [f"line {number} names the column {twice[0]} twice."] if twice else []


def _account(row: dict[str, str]) -> dict[str, Any]:
    """Return the account of a row; empty fields are left out."""
    account: dict[str, Any] = {"name": row["name"]}
    if row.get("group"):
        account["groups"] = group_names({"groups": row["group"]})
    if row.get("key"):
        account["ssh_keys"] = [row["key"]]
    if row.get("uid"):
        account["uid"] = int(row["uid"]) if row["uid"].isdecimal() else row["uid"]
    return {**account, **{key: row[key] for key in ("expires", "password_hash") if row.get(key)}}
