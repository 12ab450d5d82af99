"""A class as a spreadsheet has it: accounts from CSV, and what is wrong with it by number of line. Pure functions."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.gpulab.core.plugins.plugin_utils.site_variables import user_problems

COLUMNS = ("name", "group", "key", "uid", "expires")
MARKS = ",;\t"
"""What spreadsheets put between columns: which one depends on the country."""


def accounts(text: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Give the accounts of a list, and its problems. A line that begins with # and an empty one are passed over."""
    lines = text.removeprefix("\ufeff").splitlines()
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    mark = max(MARKS, key=first.count)
    rows = _rows(lines, mark)
    number, header = next(rows, (1, []))
    columns = [name.strip().lower() for name in header]
    if problems := _header_problems(number, columns):
        return [], problems
    found: list[dict[str, Any]] = []
    problems, seen = [], dict[str, int]()
    for number, fields in rows:
        if len(fields) != len(columns):
            problems.append(f"line {number} has {len(fields)} columns instead of {len(columns)}.")
            continue
        account = _account(dict(zip(columns, (field.strip() for field in fields), strict=True)))
        name = account["name"]
        mine = [f"line {number}: {problem}" for problem in user_problems([account])]
        if name in seen:
            mine.append(f"line {number}: {name} is in line {seen[name]} already.")
        seen.setdefault(name, number)
        problems += mine
        found.append(account)
    if not found and not problems:
        problems.append("it names nobody.")
    return found, problems


def _rows(lines: list[str], mark: str) -> Iterator[tuple[int, list[str]]]:
    """Give the rows with the number of their line, in the file as an editor shows it."""
    for number, line in enumerate(lines, start=1):
        if line.strip(f" {mark}") and not line.startswith("#"):
            for row in csv.reader([line], delimiter=mark, skipinitialspace=True):
                yield number, row


def _header_problems(number: int, columns: list[str]) -> list[str]:
    known = ", ".join(COLUMNS)
    unknown = [name for name in columns if name not in COLUMNS]
    if "name" not in columns:
        return [f"line {number} must name the columns ({known}), name among them."]
    if unknown:
        return [f"line {number}: there is no column {unknown[0]!r}; there are {known}."]
    twice = [name for name in COLUMNS if columns.count(name) > 1]
    return [f"line {number} names the column {twice[0]} twice."] if twice else []


def _account(row: dict[str, str]) -> dict[str, Any]:
    """Turn a row into an account; empty fields are not requested."""
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
