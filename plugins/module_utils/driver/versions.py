# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of a driver's packages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def upstream(version: str) -> str:
    """Return the version of a package without its epoch."""
    return re.sub(r"^\d+:", "", version)


def choose_version(versions: Iterable[tuple[str, Sequence[str]]], driver: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the first suitable version, empty when there is none, and the other versions.

    `versions` come newest first, each with the addresses that have it. `driver` has the keys branch, version,
    repository and from_repository of driver_packages_info.
    """
    requested = driver["version"] or ""
    chosen, others = "", []
    for version, addresses in versions:
        number = upstream(version)
        in_repository = any(address.startswith(driver["repository"]) for address in addresses)
        suitable = (
            requested in ("", version) or bool(re.match(rf"{re.escape(requested)}(?![0-9])", number))
        ) and number.split(".")[0] == str(driver["branch"])
        if not chosen and suitable and in_repository is driver["from_repository"]:
            chosen = version
        else:
            others.append(version)
    return chosen, others


def transaction(
    packages: Sequence[str],
    version: str,
    versions: Mapping[str, Sequence[str]],
    installed: Mapping[str, str],
    obsolete: Sequence[str],
) -> list[str]:
    """Return the packages to install, as `name=version` where a package shares the driver's version.

    `versions` are the available versions by name, `installed` the installed ones. Installed packages of another version
    are added, but not the `obsolete` ones.
    """
    number = re.sub(r"[-+~].*$", "", upstream(version))
    result = []
    for name in dict.fromkeys([*packages, *(name for name in installed if name not in obsolete)]):
        same = [
            candidate
            for candidate in versions.get(name, [])
            if re.match(rf"{re.escape(number)}(?![0-9.])", upstream(candidate))
        ]
        best = version if version in same else same[0] if same else ""
        if best and installed.get(name) != best:
            result.append(f"{name}={best}")
        elif name in packages:
            result.append(name)
    return result
