# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluate single expressions (include, exclude, hostnames) over many hosts, and report those that fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.gpulab.core.plugins.plugin_utils.gcp import expressions
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.errors import GcpError
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.expressions import MISSING, UNSURE, Expression

_MEMORY = 4096


class Evaluator:
    """Calls Ansible once per distinct input; a failing expression counts as no value, which is reported once."""

    def __init__(self, ansible: Callable[[str, Mapping[str, Any]], Any], *, strict: bool, shortcuts: bool) -> None:
        self._ansible = ansible
        self._strict = strict
        self._shortcuts = shortcuts
        self._memory: dict[str, dict[tuple[object, ...], tuple[Any, str | None]]] = {}
        self._failures: dict[str, tuple[int, str]] = {}

    def __call__(self, source: str, known: Expression | None, facts: Mapping[str, Any]) -> Any:
        """Return the value of an expression for one host, None when it has none."""
        value, problem = self._value(source, known, facts)
        if problem is None:
            return value
        problem = f"{facts['gcp_name']}: {problem}"
        if self._strict:
            raise GcpError(f"'{source}' cannot be evaluated for {problem} (strict is on)")
        count, first = self._failures.get(source, (0, problem))
        self._failures[source] = (count + 1, first)
        return None

    def warnings(self) -> list[str]:
        """Return one warning per expression that failed."""
        return [
            f"'{source}' could not be evaluated for {count} instances and counted as no value; the first is {first}"
            for source, (count, first) in self._failures.items()
        ]

    def _value(self, source: str, known: Expression | None, facts: Mapping[str, Any]) -> tuple[Any, str | None]:
        key = None
        if known is not None and self._shortcuts:
            value = expressions.direct_value(known, (facts,))
            if value is not UNSURE and value is not MISSING:
                return value, None
            key = expressions.inputs(known, (facts,))
        memory = self._memory.setdefault(source, {})
        if key is not None and key in memory:
            return memory[key]
        result = self._ask(source, facts)
        if key is not None and len(memory) < _MEMORY:
            memory[key] = result
        return result

    def _ask(self, source: str, facts: Mapping[str, Any]) -> tuple[Any, str | None]:
        try:
            return self._ansible(source, facts), None
        except Exception as error:  # noqa: BLE001 - any error of a user's filter is a failed expression
            return None, " ".join(str(error).split())[:300]
