"""Write the generated parts of the documentation; with --check, say what is stale instead."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
WISHES = ROOT / "playbooks" / "vars" / "wishes.yml"
WISHES_PAGE = ROOT / "docs" / "wishes.md"
WISHES_HEAD = """# Wishes

Every site-wide variable, generated from `playbooks/vars/wishes.yml` by `make docs`. Write them in the `group_vars` of
the group `gpu_hosts`; `inventory/example` shows how. A name, a type or a value that is not listed here is refused
before anything is changed.

| wish | type | default | what it decides |
|---|---|---|---|
"""


def cell(text: str) -> str:
    """Make a text fit into a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def rows(options: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Give a row for each option and, indented by its name, for each key below."""
    for name, option in options.items():
        kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
        choices = f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}." if "choices" in option else ""
        default = "required" if option.get("required") else f"`{option['default']}`" if "default" in option else ""
        yield f"| `{prefix}{name}` | {kind} | {default} | {cell(option['description'] + choices)} |"
        below = f"{prefix}{name}[]." if option["type"] == "list" else f"{prefix}{name}."
        yield from rows(option.get("options", {}), below)


def wishes_page() -> str:
    """Give the page of all wishes."""
    wishes = yaml.safe_load(WISHES.read_text(encoding="utf-8"))["__site_wishes"]
    return WISHES_HEAD + "\n".join(rows(wishes)) + "\n"


def role_page(role: Path) -> str:
    """Give a role's README with its option table made anew; the text around the table stays."""
    with tempfile.TemporaryDirectory() as folder:
        # aar-doc looks for a galaxy.yml two folders above a role: let it find none.
        copy = Path(folder) / "roles" / role.name
        shutil.copytree(role, copy, ignore=shutil.ignore_patterns("files", "templates", "tasks"))
        subprocess.run(["aar-doc", str(copy), "markdown"], check=True, capture_output=True)
        return (copy / "README.md").read_text(encoding="utf-8")


def changelog_page() -> str:
    """Give the changelog with the fragments that wait, as if the version in galaxy.yml were released now."""
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "changelogs", Path(folder) / "changelogs")
        shutil.copy2(ROOT / "galaxy.yml", folder)
        # The page shows no date; without one, antsibull would ask for today's.
        argv = ["antsibull-changelog", "release", "--version", version, "--update-existing", "--date", "2000-01-01"]
        subprocess.run(argv, cwd=folder, check=True, capture_output=True)
        return (Path(folder) / "CHANGELOG.md").read_text(encoding="utf-8")


def pages() -> dict[Path, str]:
    """Give every generated page as it should be."""
    roles = sorted(path.parents[1] for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))
    with ThreadPoolExecutor() as pool:
        changelog = pool.submit(changelog_page)
        texts = list(pool.map(role_page, roles))
    found = {role / "README.md": text for role, text in zip(roles, texts, strict=True)}
    return {WISHES_PAGE: wishes_page(), ROOT / "CHANGELOG.md": changelog.result(), **found}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a page is stale")
    check = parser.parse_args().check
    stale = [
        (path, text) for path, text in pages().items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    for path, text in stale:
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")  # noqa: T201
        if not check:
            path.write_text(text, encoding="utf-8")
    if check and stale:
        print("run `make docs` and commit what it writes")  # noqa: T201
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
