# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check extra packages for the frameworks' environments: sets with locks, and files of the site. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable

HASH = "--hash=sha256:"
OPTION = "frameworks_extra_packages (gpulab_extra_packages)"


def is_file(entry: str) -> bool:
    """Return whether an entry names a file, and not a set."""
    return "/" in entry or entry.endswith(".txt")


def unknown_sets(entries: Iterable[str], sets: Iterable[str]) -> list[str]:
    """Return one sentence that names all unknown sets, if there are some."""
    known = list(sets)
    unknown = [entry for entry in entries if not is_file(entry) and entry not in known]
    if not unknown:
        return []
    return [
        f"{OPTION}: unknown set {', '.join(unknown)}; choose from {', '.join(known)}, or name a requirements file "
        "(NAME.txt)."
    ]


def first_without_hash(text: str) -> str:
    """Return the first requirement of a file that has no hash, with its line number; empty if all have one."""
    logical_line, first_line = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        part = line.strip()
        if not logical_line:
            first_line = number
            if not part or part.startswith("#"):
                continue
        logical_line += f" {part.removesuffix(chr(92))}"
        if part.endswith("\\"):
            continue
        if HASH not in logical_line:
            return f"line {first_line}: {logical_line.partition(' #')[0].strip()}"
        logical_line = ""
    return f"line {first_line}: {logical_line.strip()}" if logical_line and HASH not in logical_line else ""


def file_problems(name: str, text: str | None) -> list[str]:
    """Return the problems of a requirements file; `text` is None if it cannot be read."""
    if text is None:
        return [
            f"{OPTION}: {name} does not exist on the controller: put it next to the inventory or next to the playbook."
        ]
    if requirement := first_without_hash(text):
        return [
            f"{OPTION}: {name}, {requirement} has no hash; make the file with "
            "`uv pip compile --generate-hashes --no-emit-index-url`."
        ]
    return []
