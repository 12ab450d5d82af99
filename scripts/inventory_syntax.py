# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the YAML files of an inventory: Ansible's own message about a syntax error names neither file nor line."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

SUFFIXES = (".yml", ".yaml")
VARIABLES = ("group_vars", "host_vars")
"""Directories in which Ansible also reads files without a suffix."""


def files(inventory: Path) -> list[Path]:
    """Return the YAML files of an inventory, and those with variables next to it."""
    roots = [inventory] if inventory.is_dir() else [inventory.parent / name for name in VARIABLES]
    found = [inventory] if inventory.is_file() and inventory.suffix in SUFFIXES else []
    for root in roots:
        for path in sorted(root.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
            variables = not path.suffix and set(path.parts) & set(VARIABLES)
            if path.is_file() and not hidden and (path.suffix in SUFFIXES or variables):
                found.append(path)
    return found


def problem(path: Path) -> str:
    """Return what is wrong with the syntax of a file, with its line; empty for a vault, and where nothing is."""
    try:
        text = path.read_text(encoding="utf-8")
        if not text.startswith("$ANSIBLE_VAULT;"):
            # Events only: tags such as !vault need no value here.
            for _event in yaml.parse(text, Loader=yaml.SafeLoader):
                pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        tab = " Write blanks instead of tabs." if "'\\t'" in str(error.problem) else ""
        return f"{path}: {place}{error.problem}.{tab}"
    except (yaml.YAMLError, UnicodeError) as error:
        return f"{path}: {' '.join(str(error).split())}"
    except OSError as error:
        return f"{path}: {error.strerror}"
    return ""


def main(arguments: list[str]) -> int:
    """Print one line for each file with a problem; return 1 if there is one."""
    problems = [found for path in files(Path(arguments[0])) if (found := problem(path))]
    sys.stderr.write("".join(f"site: {line}\n" for line in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
