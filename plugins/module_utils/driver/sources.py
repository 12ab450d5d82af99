# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Components that the distribution's entries in apt's sources lack."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SourceEntry:
    """One address and suite of apt's sources."""

    uri: str
    suite: str
    components: tuple[str, ...]
    file: str
    signed_by: str = ""
    in_use: bool = True
    """Whether the entry is valid, enabled and for binary packages."""


def missing_sources(
    entries: Iterable[SourceEntry], components: Sequence[str], ignored_list: str
) -> list[dict[str, Any]]:
    """Return the entries that have `main` and lack components, with the lacking ones.

    Entries of `ignored_list`, to which the result is written, do not count.
    """
    listed = [entry for entry in entries if entry.in_use and entry.file != ignored_list]
    result = []
    for entry in listed:
        if "main" not in entry.components:
            continue
        place = (entry.uri.rstrip("/"), entry.suite)
        present = {
            component
            for other in listed
            if (other.uri.rstrip("/"), other.suite) == place
            for component in other.components
        }
        lacking = [component for component in components if component not in present]
        source = {"uri": entry.uri, "suite": entry.suite, "components": lacking, "signed_by": entry.signed_by}
        if lacking and source not in result:
            result.append(source)
    return result


def signed_by(entry: Any) -> str:
    """Return the path of the keyring of an entry in either format; empty for a key inside the entry, and for none."""
    section = getattr(entry, "section", None)
    if section is not None:
        key = str(section.get("Signed-By", ""))
        return key if key.startswith("/") else ""
    options = [part.lstrip("[") for part in entry.line.split("]")[0].split()]
    return next((part.removeprefix("signed-by=") for part in options if part.startswith("signed-by=")), "")


def source_entries(sources: Iterable[Any]) -> list[SourceEntry]:
    """Return the entries of aptsources' SourcesList, one for each address and suite of a stanza."""
    return [
        SourceEntry(
            uri=uri,
            suite=suite,
            components=tuple(entry.comps),
            file=entry.file,
            signed_by="" if entry.invalid else signed_by(entry),
            in_use=not entry.invalid
            and not entry.disabled
            and "deb" in (getattr(entry, "types", None) or [entry.type]),
        )
        for entry in sources
        for uri in getattr(entry, "uris", None) or [entry.uri]
        for suite in getattr(entry, "suites", None) or [entry.dist]
    ]
