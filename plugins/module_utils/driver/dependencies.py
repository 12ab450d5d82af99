# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dependencies between installed packages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Dependencies = Mapping[str, Sequence[Sequence[str]]]
"""Dependencies of the installed packages by name: for each dependency, the installed packages that fulfil it."""


def required_by(remove: Iterable[str], dependencies: Dependencies) -> dict[str, str]:
    """Return the packages of `remove` that packages which stay require, each with one of these."""
    listed = set(remove)
    result: dict[str, str] = {}
    staying = sorted(name for name in dependencies if name not in listed)
    while staying:
        name = staying.pop(0)
        for alternatives in dependencies.get(name, []):
            if alternatives and all(package in listed and package not in result for package in alternatives):
                result[alternatives[0]] = name
                staying.append(alternatives[0])
    return result


def installed_dependencies(cache: Iterable[Any]) -> dict[str, list[list[str]]]:
    """Return the dependencies of all installed packages in python-apt's cache."""
    return {
        package.shortname: [
            sorted({version.package.shortname for version in dependency.installed_target_versions})
            for dependency in package.installed.dependencies
        ]
        for package in cache
        if package.installed
    }
