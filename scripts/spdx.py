"""Add the licence line to source files that lack it (`python -m scripts.spdx`); --check lists such files instead."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINE = "SPDX-License-Identifier: GPL-3.0-or-later"
HASH = "# {}"
COMMENTS = {
    ".R": HASH,
    ".c": "/* {} */",
    ".cfg": HASH,
    ".html": "<!-- {} -->",
    ".j2": "{{# {} #}}",
    ".js": "// {}",
    ".mjs": "// {}",
    ".py": HASH,
    ".service": HASH,
    ".sh": HASH,
    ".toml": HASH,
    ".yaml": HASH,
    ".yml": HASH,
}
"""Comment of a kind of file, by the end of its name. Other names count as shell scripts if they begin with #!."""
BY_NAME = {"Makefile": HASH, ".yamllint": HASH, ".ansible-lint": HASH, ".editorconfig": HASH, ".gitignore": HASH}
NOT_OURS = re.compile(r"(^|/)(locks|answers)/|^requirements/|^collections/|(^|/)package(-lock)?\.json$")
BEFORE = re.compile(r"\A(#!.*\n|---\n|#jinja2:.*\n)*(# Copyright \(c\).*\n(#.*\n)?)?")
"""What stays above the line: an interpreter, the start of a YAML document, the notice that ansible-test requires."""
PAST = 20
"""The line must be among so many first lines."""


def comment_of(path: Path, text: str) -> str | None:
    """Return the comment that a file takes, or None where it takes none."""
    if path.name in BY_NAME:
        return BY_NAME[path.name]
    if path.suffix in COMMENTS:
        return COMMENTS[path.suffix]
    return HASH if text.startswith("#!") else None


def with_line(path: Path, text: str) -> str:
    """Return a file's text with the licence line; unchanged where it has one, is empty, or takes no comment."""
    comment = comment_of(path, text)
    if not text.strip() or comment is None or LINE in "\n".join(text.splitlines()[:PAST]):
        return text
    before = BEFORE.match(text)
    at = before.end() if before else 0
    return f"{text[:at]}{comment.format(LINE)}\n{text[at:]}"


def sources() -> list[Path]:
    """Return all tracked files that are our own."""
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    ).stdout.split("\0")
    paths = [ROOT / name for name in names if name and not NOT_OURS.search(name)]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.spdx", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a line is missing")
    parser.add_argument("paths", nargs="*", type=Path, help="only these files and directories")
    options = parser.parse_args()
    chosen = [path.resolve() for path in options.paths]
    missing = False
    for path in sources():
        if chosen and not any(path == one or one in path.parents for one in chosen):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        changed = with_line(path, text)
        if changed != text:
            missing = True
            print(f"{'missing' if options.check else 'added'}: {path.relative_to(ROOT)}")  # noqa: T201
            if not options.check:
                path.write_text(changed, encoding="utf-8")
    if options.check and missing:
        print("run `python -m scripts.spdx` and commit what it adds")  # noqa: T201
    return 1 if options.check and missing else 0


if __name__ == "__main__":
    sys.exit(main())
