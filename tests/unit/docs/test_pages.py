# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation can be read: links lead somewhere, examples are valid YAML, pages and cells are short."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.gpulab.core.plugins.plugin_utils.site_variables import role_options, site_variables

ROOT = Path(__file__).resolve().parents[3]
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!`)\[[^\]\n]*\]\(([^)\s]+)\)")
OTHER_NAMES = {"gpulab_gpud", "gpulab_hub", "gpulab_x", "jupyterhub_config"}
"""Names of a package and of a file that begin like variables, and the example of a name."""
REPORT = re.compile(r"docs/proof/[^/]+/report\.md")
"""Reports of GPUs, which docs/reference/evidence.md lists."""
GENERATED = {"CHANGELOG.md", "docs/reference/variables.md", "docs/reference/gpulab-command.md"}


def pages() -> list[str]:
    """Return the names of all Markdown files of the repository."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout.split()
    return [name for name in names if (ROOT / name).is_file() and not name.startswith("collections/")]


every_page = pytest.mark.parametrize("name", pages())


def text_of(name: str) -> str:
    """Return a page's text."""
    return (ROOT / name).read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings)
    return {word.replace(" ", "-") for word in words}


def broken_links(name: str) -> Iterator[str]:
    """Yield the relative links of a page that lead to no file, or to no heading of their page."""
    for link in LINK.findall(FENCE.sub("", text_of(name))):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = ((ROOT / name).parent / file).resolve() if file else ROOT / name
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            yield link


def blocks(name: str, language: str) -> list[str]:
    """Return the code blocks of a page in a language, without the indentation of a list item."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text_of(name), re.MULTILINE | re.DOTALL)
    return [re.sub(f"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def cells(text: str) -> list[str]:
    """Return all cells of all tables, links as the reader sees them."""
    rows = [line for line in FENCE.sub("", text).splitlines() if line.lstrip().startswith("|")]
    return [
        re.sub(r"\]\([^)]*\)", "]", cell.strip()) for row in rows for cell in re.split(r"(?<!\\)\|", row.strip())[1:-1]
    ]


@every_page
def test_relative_links_lead_to_a_file_and_a_heading(name: str) -> None:
    """A page that was moved or a heading that was changed breaks no link."""
    assert list(broken_links(name)) == []


@every_page
def test_yaml_examples_are_valid(name: str) -> None:
    """A reader can copy every YAML example."""
    for block in blocks(name, "yaml"):
        assert yaml.safe_load(block) is not None, block


@every_page
def test_cells_of_tables_are_short(name: str) -> None:
    """A table can be read without scrolling to the side."""
    assert [cell for cell in cells(text_of(name)) if len(cell) >= 120] == []


@every_page
def test_pages_are_short(name: str) -> None:
    """Nobody reads a longer page to its end; the README fits on two screens."""
    limit = 90 if name == "README.md" else 200
    assert name in GENERATED or REPORT.fullmatch(name) or len(text_of(name).splitlines()) <= limit


@every_page
def test_every_page_has_one_title(name: str) -> None:
    """The first line is the title, and no other heading is of its level."""
    text = FENCE.sub("", text_of(name))
    if not name.startswith(".github"):
        assert re.findall(r"^# .*$", text, re.MULTILINE) == [text.splitlines()[0]]


def test_every_page_is_in_the_index() -> None:
    """A page of docs/ that the index does not name is found by nobody."""
    index = ROOT / "docs" / "index.md"
    listed = {(index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(text_of("docs/index.md"))}
    names = {path for path in (ROOT / "docs").rglob("*.md") if not REPORT.fullmatch(str(path.relative_to(ROOT)))}
    assert names - listed == {index}


def test_checks_can_fail(tmp_path: Path) -> None:
    """The checks above see a wrong link, a wrong anchor and a long cell."""
    page = tmp_path / "page.md"
    page.write_text("# A\n\n[x](no.md) [y](#b) [z](#a)\n\n| " + "x" * 120 + " |\n", encoding="utf-8")
    assert list(broken_links(str(page))) == ["no.md", "#b"]
    assert [cell for cell in cells(page.read_text(encoding="utf-8")) if len(cell) >= 120]


def test_documents_that_sources_name_exist() -> None:
    """A message or a comment that names a page names an existing one."""
    argv = ["git", "grep", "-hoIE", r"\bdocs/[A-Za-z0-9_/-]+\.(md|png)\b", "--", ".", ":!CHANGELOG.md", ":!changelogs"]
    named = set(subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout.split())
    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_variables_that_pages_name_exist() -> None:
    """An option or a site variable that was renamed or removed is not left in a page."""
    reserved = yaml.safe_load((ROOT / "playbooks" / "vars" / "site_variables.yml").read_text(encoding="utf-8"))
    options = role_options()
    known = {*site_variables(), *reserved["site_variables"], *reserved["reserved_variables"], *OTHER_NAMES}
    known |= {name for names in options.values() for name in names}
    pattern = re.compile(rf"\b(?:gpulab|{'|'.join(options)})_[a-z0-9_]+")
    named = {
        name: set(pattern.findall(text_of(name)))
        for name in pages()
        if name not in ("docs/reference/renamed-variables.md", "docs/reference/modules.md")
    }
    assert {name: sorted(words - known) for name, words in named.items() if words - known} == {}
