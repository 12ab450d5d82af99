# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsers of two parts of a list request: fields masks and filters."""

from __future__ import annotations

import re
from typing import Any

Mask = dict[str, "Mask"]

_TOKEN = re.compile(r"\s*(?:(\()|(\))|(AND|OR|NOT)\b|([\w.-]+)\s*(!=|=|:|eq\b|ne\b)\s*(\"[^\"]*\"|'[^']*'|[^\s()]+))")
# The real service rejects filters on these.
_REPEATED = ("tags", "metadata", "disks", "networkInterfaces", "guestAccelerators", "serviceAccounts")


class BadRequestError(Exception):
    """The request is rejected with status 400."""


def parse_mask(text: str) -> Mask:
    """Parse a fields mask such as items/*/instances(id,name),nextPageToken."""
    mask, rest = _mask_list(text)
    if rest:
        raise BadRequestError(f"Invalid field selection {text}")
    return mask


def _mask_list(text: str) -> tuple[Mask, str]:
    mask: Mask = {}
    while True:
        found = re.match(r"[\w*]+(?:/[\w*]+)*", text)
        if not found:
            raise BadRequestError(f"Invalid field selection {text}")
        node = mask
        for step in found.group().split("/"):
            node = node.setdefault(step, {})
        text = text[found.end() :]
        if text.startswith("("):
            inner, text = _mask_list(text[1:])
            node.update(inner)
            if not text.startswith(")"):
                raise BadRequestError("Invalid field selection: a bracket is open")
            text = text[1:]
        if not text.startswith(","):
            return mask, text
        text = text[1:]


def mask_paths(mask: Mask, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return every path of a mask."""
    paths = []
    for step, inner in mask.items():
        path = (*prefix, step)
        paths.extend(mask_paths(inner, path) if inner else [path])
    return paths


def apply_mask(mask: Mask, value: Any) -> Any:
    """Return the part of a value that a mask selects."""
    if not mask:
        return value
    if isinstance(value, list):
        return [apply_mask(mask, item) for item in value]
    if not isinstance(value, dict):
        return value
    if "*" in mask:
        # Two entries under one * select from the same values.
        kept = {key: apply_mask(mask["*"], item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item != {}}
    return {key: apply_mask(mask[key], item) for key, item in value.items() if key in mask}


def matches(text: str, row: dict[str, Any]) -> bool:
    """Return whether a filter selects a row: comparisons, brackets, AND, OR, NOT; side by side means AND."""
    tokens: list[tuple[str, ...]] = []
    position = 0
    while position < len(text.rstrip()):
        found = _TOKEN.match(text, position)
        if not found:
            raise BadRequestError(f"Invalid value for field 'filter': '{text}'. Invalid list filter expression.")
        tokens.append(found.groups(default=""))
        position = found.end()
    value, rest = _conjunction(tokens, row)
    if rest:
        raise BadRequestError(f"Invalid value for field 'filter': '{text}'.")
    return value


def _conjunction(tokens: list[tuple[str, ...]], row: dict[str, Any]) -> tuple[bool, list[tuple[str, ...]]]:
    result = True
    while tokens and not tokens[0][1]:
        if tokens[0][2] == "AND":
            tokens = tokens[1:]
        value, tokens = _disjunction(tokens, row)
        result = result and value
    return result, tokens


def _disjunction(tokens: list[tuple[str, ...]], row: dict[str, Any]) -> tuple[bool, list[tuple[str, ...]]]:
    value, tokens = _term(tokens, row)
    while tokens and tokens[0][2] == "OR":
        other, tokens = _term(tokens[1:], row)
        value = value or other
    return value, tokens


def _term(tokens: list[tuple[str, ...]], row: dict[str, Any]) -> tuple[bool, list[tuple[str, ...]]]:
    if not tokens:
        raise BadRequestError("Invalid value for field 'filter': it ends too early.")
    opening, _closing, word, name, operator, wanted = tokens[0]
    if opening:
        value, tokens = _conjunction(tokens[1:], row)
        if not tokens or not tokens[0][1]:
            raise BadRequestError("Invalid value for field 'filter': a bracket is open.")
        return value, tokens[1:]
    if word == "NOT":
        value, tokens = _term(tokens[1:], row)
        return not value, tokens
    if name.split(".")[0] in _REPEATED:
        raise BadRequestError(f"Invalid value for field 'filter': '{name}' cannot be filtered on.")
    have: Any = row
    for step in name.split("."):
        have = have.get(step) if isinstance(have, dict) else None
    text = {True: "true", False: "false", None: ""}.get(have, str(have)) if not isinstance(have, (dict, list)) else ""
    wanted = wanted.strip("\"'")
    if operator == ":" and wanted == "*":
        return have is not None, tokens[1:]
    return (text == wanted) is (operator not in ("!=", "ne")), tokens[1:]
