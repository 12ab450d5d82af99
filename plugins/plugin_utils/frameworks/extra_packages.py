# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packages that are requested next to the frameworks: sets that have locks, and files of one's own. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable

HASH = "--hash=sha256:"


def is_file(entry: str) -> bool:
    """Tell whether a setting names a file, and not a set."""
    return "/" in entry or entry.endswith(".txt")


def strangers(entries: Iterable[str], sets: Iterable[str]) -> list[str]:
    """Find names that are no set, all of them in one sentence."""
    known = list(sets)
    unknown = [entry for entry in entries if not is_file(entry) and entry not in known]
    if not unknown:
        return []
    return [
        f"gpulab_extra_packages: there is no set {' and no set '.join(unknown)}; there are {', '.join(known)}, and "
        "files of your own (NAME.txt)."
    ]


def first_without_hash(text: str) -> str:
    """Give the first requirement of a file that has no hash, with the number of its line; nothing if all have one."""
    logical, begun = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        part = line.strip()
        if not logical:
            begun = number
            if not part or part.startswith("#"):
                continue
        logical += f" {part.removesuffix(chr(92))}"
        if part.endswith("\\"):
            continue
        if HASH not in logical:
            return f"line {begun}: {logical.partition(' #')[0].strip()}"
        logical = ""
    return f"line {begun}: {logical.strip()}" if logical and HASH not in logical else ""


def file_problems(name: str, text: str | None) -> list[str]:
    """Judge a file of one's own; None means that it cannot be read."""
    if text is None:
        return [
            f"gpulab_extra_packages: {name} is not on the controller, next to the inventory or next to the playbook."
        ]
    if bare := first_without_hash(text):
        return [
            f"gpulab_extra_packages: {name}, {bare} has no hash; make the file with "
            "`uv pip compile --generate-hashes --no-emit-index-url`."
        ]
    return []
