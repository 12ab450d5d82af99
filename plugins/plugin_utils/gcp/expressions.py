# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find out what a Jinja expression depends on, so that Ansible evaluates it once per distinct input, not once per host.

Nothing here replaces Ansible's evaluation of operators, filters or tests. It answers two questions: which paths into
the host's facts does an expression read (then equal values there mean equal results), and is it no more than a path, a
default() between paths, or a concatenation of strings (then the value itself is the result). Whatever it does not
understand it reports as None, and the caller lets Ansible evaluate that for every host.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Environment, TemplateError, nodes
from jinja2.parser import Parser

Path = tuple["str | int", ...]


class _Missing:
    """No value: undefined in Jinja's terms."""

    def __repr__(self) -> str:
        return "MISSING"


class _Unsure:
    """A value that only Ansible can evaluate."""

    def __repr__(self) -> str:
        return "UNSURE"


MISSING: Final = _Missing()
UNSURE: Final = _Unsure()

# These differ per host although no fact does, or are functions of the templating engine.
_MAGIC = frozenset(
    {"inventory_hostname", "inventory_hostname_short", "group_names", "hostvars", "groups", "vars", "omit"}
)
# Jinja's dot finds these on the value before it looks for a key of that name.
_ATTRIBUTES = frozenset(name for kind in (dict, list, str, int, float, bool, type(None)) for name in dir(kind))
_METHODS = frozenset(
    [
        "capitalize",
        "count",
        "endswith",
        "find",
        "get",
        "index",
        "items",
        "join",
        "keys",
        "lower",
        "lstrip",
        "removeprefix",
        "removesuffix",
        "replace",
        "rsplit",
        "rstrip",
        "split",
        "startswith",
        "strip",
        "title",
        "upper",
        "values",
    ]
)
_FILTERS = frozenset(
    [
        "abs",
        "b64encode",
        "basename",
        "bool",
        "capitalize",
        "combine",
        "count",
        "d",
        "default",
        "dict2items",
        "dictsort",
        "difference",
        "first",
        "flatten",
        "float",
        "hash",
        "int",
        "intersect",
        "items",
        "items2dict",
        "join",
        "last",
        "length",
        "list",
        "lower",
        "mandatory",
        "max",
        "min",
        "regex_findall",
        "regex_replace",
        "regex_search",
        "replace",
        "reverse",
        "round",
        "sort",
        "split",
        "string",
        "sum",
        "ternary",
        "title",
        "to_json",
        "trim",
        "union",
        "unique",
        "upper",
    ]
)
_TESTS = frozenset(
    [
        "boolean",
        "contains",
        "defined",
        "divisibleby",
        "eq",
        "equalto",
        "even",
        "false",
        "float",
        "ge",
        "greaterthan",
        "gt",
        "in",
        "integer",
        "iterable",
        "le",
        "lessthan",
        "lower",
        "lt",
        "mapping",
        "match",
        "ne",
        "none",
        "number",
        "odd",
        "regex",
        "search",
        "sequence",
        "string",
        "subset",
        "superset",
        "true",
        "undefined",
        "upper",
        "version",
    ]
)
_COMPOUND = (
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Neg,
    nodes.Pos,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.Pow,
    nodes.Concat,
    nodes.Compare,
    nodes.Operand,
    nodes.CondExpr,
    nodes.List,
    nodes.Tuple,
    nodes.Dict,
    nodes.Pair,
    nodes.Keyword,
)

_environment = Environment(autoescape=False)  # noqa: S701 - it only parses, nothing is rendered with it


@dataclass(frozen=True)
class Expression:
    """Analysis of an expression: every path it reads, and its tree when its value needs no Ansible."""

    paths: tuple[Path, ...]
    direct: nodes.Expr | None

    @property
    def roots(self) -> frozenset[str]:
        """Return the names of the facts it reads."""
        return frozenset(str(path[0]) for path in self.paths)


def analyse(source: object) -> Expression | None:
    """Return the analysis of an expression, None when only Ansible can evaluate it."""
    if not isinstance(source, str):
        return None
    try:
        parser = Parser(_environment, source, state="variable")
        tree = parser.parse_expression()
        if not parser.stream.eos:
            return None
    except TemplateError:
        return None
    paths: dict[Path, None] = {}
    if not _collect(tree, paths):
        return None
    return Expression(tuple(paths), tree if _is_direct(tree) else None)


def template_roots(source: str) -> frozenset[str] | None:
    """Return the names that a template with braces may read, None when they are unknown."""
    from jinja2 import meta

    try:
        return frozenset(meta.find_undeclared_variables(_environment.parse(source)))
    except TemplateError:
        return None


def _path(node: nodes.Node) -> Path | None:
    if isinstance(node, nodes.Name):
        return (node.name,) if node.name not in _MAGIC and node.ctx == "load" else None
    if isinstance(node, nodes.Getattr):
        step: object = node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        step = node.arg.value
    else:
        return None
    if isinstance(step, str):
        if step in _ATTRIBUTES or step.startswith("_"):
            return None
    elif not isinstance(step, int) or isinstance(step, bool):
        return None
    base = _path(node.node)
    return None if base is None else (*base, step)


def _collect(node: nodes.Node, paths: dict[Path, None]) -> bool:
    """Add the paths that a tree reads; False when it may depend on anything else."""
    path = _path(node)
    if path is not None:
        paths[path] = None
        return True
    if isinstance(node, (nodes.Const, nodes.TemplateData)):
        return True
    if isinstance(node, nodes.Filter):
        known = node.name in _FILTERS and node.node is not None
    elif isinstance(node, nodes.Test):
        known = node.name in _TESTS
    elif isinstance(node, nodes.Call):
        return _collect_call(node, paths)
    elif isinstance(node, nodes.Getitem):
        # A computed key: the whole container counts as read. A constant one was rejected above.
        known = not isinstance(node.arg, nodes.Const)
    else:
        known = isinstance(node, _COMPOUND)
    if not known or getattr(node, "dyn_args", None) is not None or getattr(node, "dyn_kwargs", None) is not None:
        return False
    return all(_collect(child, paths) for child in node.iter_child_nodes())


def _collect_call(node: nodes.Call, paths: dict[Path, None]) -> bool:
    target = node.node
    if not isinstance(target, nodes.Getattr) or target.attr not in _METHODS:
        return False
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        return False
    return all(_collect(child, paths) for child in (target.node, *node.args, *node.kwargs))


def _is_direct(node: nodes.Node) -> bool:
    if _path(node) is not None or isinstance(node, nodes.Const):
        return True
    if isinstance(node, nodes.Concat):
        return all(_is_direct(child) for child in node.nodes)
    if isinstance(node, nodes.Filter) and node.name in ("default", "d") and node.node is not None:
        plain = len(node.args) == 1 and not node.kwargs and node.dyn_args is None and node.dyn_kwargs is None
        return plain and _is_direct(node.node) and _is_direct(node.args[0])
    return False


Layers = Sequence[Mapping[str, Any]]


def resolve(path: Path, layers: Layers) -> Any:
    """Follow a path through the first layer that has its root; MISSING is undefined, UNSURE is Ansible's to decide."""
    root = path[0]
    for layer in layers:
        if root in layer:
            value: Any = layer[str(root)]
            break
    else:
        return MISSING
    for step in path[1:]:
        if isinstance(value, dict):
            if step not in value:
                return MISSING
            value = value[step]
        elif isinstance(value, list):
            if not isinstance(step, int) or not -len(value) <= step < len(value):
                return MISSING
            value = value[step]
        elif isinstance(value, str) and isinstance(step, int):
            return UNSURE
        else:
            return MISSING
    return value


def direct_value(expression: Expression, layers: Layers) -> Any:
    """Return the value of an expression without Ansible; MISSING or UNSURE when that is not possible."""
    if expression.direct is None:
        return UNSURE
    value = _evaluate(expression.direct, layers)
    return value if value is MISSING or is_inert(value) else UNSURE


def _evaluate(node: nodes.Node, layers: Layers) -> Any:
    if isinstance(node, nodes.Const):
        return node.value
    if isinstance(node, nodes.Filter) and node.node is not None:
        value = _evaluate(node.node, layers)
        return _evaluate(node.args[0], layers) if value is MISSING else value
    if isinstance(node, nodes.Concat):
        parts = [_evaluate(child, layers) for child in node.nodes]
        return "".join(parts) if all(isinstance(part, str) for part in parts) else UNSURE
    path = _path(node)
    return UNSURE if path is None else resolve(path, layers)


def is_inert(value: object) -> bool:
    """Return whether a value is plain data that cannot contain a template; Ansible passes only such values."""
    if value is UNSURE:
        return False
    if isinstance(value, str):
        return "{" not in value
    if value is None or isinstance(value, (bool, int, float)):
        return True
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        return False
    return "{{" not in text and "{%" not in text and "{#" not in text


def inputs(expression: Expression, layers: Layers) -> tuple[object, ...] | None:
    """Return the values that an expression reads as a dictionary key; None when they cannot stand for its result."""
    key: list[object] = []
    for path in expression.paths:
        value = resolve(path, layers)
        # Most values are short strings; all others get a form in which 1, 1.0 and true stay apart.
        if isinstance(value, str):
            if "{" in value:
                return None
            key.append(value)
            continue
        if value is MISSING:
            key.append(_depth(path, layers))
            continue
        if not is_inert(value):
            return None
        key.append((json.dumps(value),))
    return tuple(key)


def _depth(path: Path, layers: Layers) -> tuple[str, int]:
    """Return how far a path leads: Ansible distinguishes an undefined name from an undefined key."""
    for length in range(1, len(path)):
        if resolve(path[:length], layers) is MISSING:
            return "missing", length
    return "missing", len(path)
