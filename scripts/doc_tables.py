# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of options in Markdown, from argument specifications of roles and of site variables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

LONGEST_CELL = 118
"""Characters of a table cell. Longer descriptions follow the table as a list."""

MARKUP = re.compile(r"\b([BCIMOPVUE])\(([^)]*)\)")


def plain(text: object) -> str:
    """Return a description as one line of Markdown: Ansible's markup becomes code, and list items become sentences."""
    lines = [text] if isinstance(text, str) else [str(line) for line in text] if isinstance(text, Sequence) else []
    joined = " ".join(" ".join(lines).split())
    return MARKUP.sub(lambda match: f"`{match[2]}`" if match[1] != "U" else f"<{match[2]}>", joined)


def cell(text: str) -> str:
    """Return a text that fits into a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, ["---"] * len(head), *lines])


def sentences(text: str) -> tuple[str, str]:
    """Return the first sentence of a text, and the rest."""
    first, _, rest = re.sub(r"([.!?])\s+(?=[A-Z0-9`<(])", r"\1\n", text, count=1).partition("\n")
    return first, rest


def type_of(option: Mapping[str, Any]) -> str:
    """Return an option's type, or its choices where it has some."""
    if "choices" in option:
        return ", ".join(f"`{choice}`" for choice in option["choices"])
    kind = str(option.get("type", "str"))
    return f"{kind} of {option['elements']}" if "elements" in option else kind


def default_of(option: Mapping[str, Any]) -> str:
    """Return an option's default as YAML has it; a long one is in the role's defaults."""
    if option.get("required"):
        return "required"
    if option.get("default") in (None, "", {}, []):
        return ""
    value = option["default"]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{cell(text)}`" if len(text) <= LONGEST_CELL // 2 else "see `defaults/main.yml`"


def flat(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each option with its full name, and after it the options below it."""
    for name, option in options.items():
        yield f"{prefix}{name}", option
        below = f"{prefix}{name}[]." if option.get("type") == "list" else f"{prefix}{name}."
        yield from flat(option.get("options") or {}, below)


def option_table(options: Mapping[str, Any], *, owner: bool = False) -> str:
    """Return the table of all options, nested ones too, and after it what does not fit into a cell.

    With `owner`, a column names the role option that a site variable is the default of (key `option`).
    """
    lines, details = [], []
    for name, option in flat(options):
        text = plain(option.get("description", ""))
        first, rest = sentences(text)
        if len(first) > LONGEST_CELL:
            first, rest = "See below.", text
        role_option = [f"`{option['option']}`" if "option" in option else ""] if owner else []
        lines.append([f"`{name}`", type_of(option), default_of(option), *role_option, cell(first)])
        if rest:
            details.append(f"- `{name}`: {rest}\n")
    head = ["name", "type or choices", "default", *(["role option"] if owner else []), "meaning"]
    return table(head, lines) + ("\nMore about them:\n\n" + "".join(details) if details else "")
