# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate: nothing leaves the fake that Google's discovery documents do not allow, no unknown parameter enters.

The documents lie in the package google-api-python-client, so they are not ours to bend.
"""

from __future__ import annotations

import functools
import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Left the parameter lists of the document of 2026-11, although its own descriptions still recommend it.
STILL_SENT = frozenset({"returnPartialSuccess"})


@functools.cache
def document(name: str) -> dict[str, Any]:
    """Return a discovery document such as compute.v1."""
    spec = find_spec("googleapiclient")
    assert spec is not None, "google-api-python-client is missing: run scripts/bootstrap --test"
    assert spec.origin is not None
    path = Path(spec.origin).parent / "discovery_cache" / "documents" / f"{name}.json"
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


@functools.cache
def method(name: str, method_id: str) -> dict[str, Any]:
    """Return the description of a method by its id, compute.instances.list for example."""
    stack = [document(name)]
    while stack:
        node = stack.pop()
        for entry in node.get("methods", {}).values():
            if entry["id"] == method_id:
                found: dict[str, Any] = entry
                return found
        stack.extend(node.get("resources", {}).values())
    raise KeyError(method_id)


def unknown_parameters(name: str, method_id: str, given: set[str]) -> set[str]:
    """Return the query parameters that the method does not take."""
    own = {key for key, value in method(name, method_id).get("parameters", {}).items() if value["location"] == "query"}
    return given - own - set(document(name)["parameters"]) - STILL_SENT


def violations(name: str, schema: str, value: object) -> list[str]:
    """Return the parts of a body that the document does not allow."""
    found: list[str] = []
    _check(document(name)["schemas"], {"$ref": schema}, value, "$", found)
    return found


def field_exists(name: str, schema: str, path: tuple[str, ...]) -> bool:
    """Return whether a fields mask names an existing field; * stands for any key of a map."""
    schemas = document(name)["schemas"]
    node: dict[str, Any] = schemas[schema]
    for step in path:
        while "$ref" in node or node.get("type") == "array":
            node = schemas[node["$ref"]] if "$ref" in node else node["items"]
        if step == "*":
            node = node.get("additionalProperties") or {}
        elif step in node.get("properties", {}):
            node = node["properties"][step]
        else:
            return False
    return True


def _check(schemas: dict[str, Any], rule: dict[str, Any], value: Any, where: str, found: list[str]) -> None:
    if "$ref" in rule:
        rule = schemas[rule["$ref"]]
    kind = rule.get("type")
    if kind == "object":
        if not isinstance(value, dict):
            found.append(f"{where}: not an object")
            return
        properties, rest = rule.get("properties", {}), rule.get("additionalProperties")
        for key, item in value.items():
            inner = properties.get(key, rest)
            if inner is None:
                found.append(f"{where}.{key}: unknown field")
            else:
                _check(schemas, inner, item, f"{where}.{key}", found)
    elif kind == "array":
        if not isinstance(value, list):
            found.append(f"{where}: not an array")
            return
        for index, item in enumerate(value):
            _check(schemas, rule["items"], item, f"{where}[{index}]", found)
    else:
        _check_scalar(rule, value, where, found)


def _check_scalar(rule: dict[str, Any], value: Any, where: str, found: list[str]) -> None:
    kind, form = rule.get("type"), rule.get("format")
    if kind == "string":
        if not isinstance(value, str):
            found.append(f"{where}: not a string")
        elif form in ("int64", "uint64") and not re.fullmatch(r"-?[0-9]+", value):
            found.append(f"{where}: not digits")
        elif "enum" in rule and value not in rule["enum"]:
            found.append(f"{where}: '{value}' is not in the enum")
    elif kind == "integer":
        if isinstance(value, bool) or not isinstance(value, int):
            found.append(f"{where}: not an integer")
    elif kind == "boolean":
        if not isinstance(value, bool):
            found.append(f"{where}: not a boolean")
    elif kind == "number" and (isinstance(value, bool) or not isinstance(value, (int, float))):
        found.append(f"{where}: not a number")
