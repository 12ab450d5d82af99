# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of a class from CSV, as spreadsheets save it, and its problems by line number. Pure functions."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.gpulab.core.plugins.plugin_utils.users.problems import account_problems, group_name_problems

COLUMNS = ("name", "group", "key", "uid", "expires")
DELIMITERS = ",;\t"
"""Characters that spreadsheets put between columns; the country decides which one."""


def accounts(text: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the accounts of a list and its problems. Empty lines and lines that begin with # are skipped."""
    lines = text.removeprefix("\ufeff").splitlines()
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    delimiter = max(DELIMITERS, key=first.count)
    rows = _rows(lines, delimiter)
    number, header = next(rows, (1, []))
    columns = [name.strip().lower() for name in header]
    if problems := _header_problems(number, columns):
        return [], problems
    listed: list[dict[str, Any]] = []
    problems, line_of = [], dict[str, int]()
    for number, fields in rows:
        if len(fields) != len(columns):
            problems.append(f"line {number} has {len(fields)} columns instead of {len(columns)}.")
            continue
        account = _account(dict(zip(columns, (field.strip() for field in fields), strict=True)))
        name = account["name"]
        faults = [*account_problems(account), *group_name_problems(account.get("groups", []))]
        problems += [f"line {number}: {fault}" for fault in faults]
        if name in line_of:
            problems.append(f"line {number}: {name} is in line {line_of[name]} already.")
        line_of.setdefault(name, number)
        listed.append(account)
    if not listed and not problems:
        problems.append("it has no accounts below the column names.")
    return listed, problems


def _rows(lines: list[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows with the number of their line, as an editor shows it."""
    for number, line in enumerate(lines, start=1):
        if line.strip(f" {delimiter}") and not line.startswith("#"):
            for row in csv.reader([line], delimiter=delimiter, skipinitialspace=True):
                yield number, row


def _header_problems(number: int, columns: list[str]) -> list[str]:
    """Return what is wrong with the line of column names."""
    known = ", ".join(COLUMNS)
    unknown = [name for name in columns if name not in COLUMNS]
    if "name" not in columns:
        return [f"line {number} must name the columns ({known}), name among them."]
    if unknown:
        return [f"line {number}: there is no column {unknown[0]!r}; the columns are {known}."]
    twice = [name for name in COLUMNS if columns.count(name) > 1]
    return [f"line {number} names the column {twice[0]} twice."] if twice else []


def _account(row: dict[str, str]) -> dict[str, Any]:
    """Return the account of a row; empty fields are left out."""
    account: dict[str, Any] = {"name": row["name"]}
    if row.get("group"):
        account["groups"] = [name for name in re.split(r"[\s;,|]+", row["group"]) if name]
    if row.get("key"):
        account["ssh_keys"] = [row["key"]]
    if row.get("uid"):
        account["uid"] = int(row["uid"]) if row["uid"].isdecimal() else row["uid"]
    if row.get("expires"):
        account["expires"] = row["expires"]
    return account
