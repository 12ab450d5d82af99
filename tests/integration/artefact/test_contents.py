# SPDX-License-Identifier: GPL-3.0-or-later
"""The artefact holds everything that a user needs, and nothing of the place where it was built."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.integration.artefact.artefact import run
from tests.support.paths import ROOT

TOP = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "FILES.json",
    "LICENSE",
    "MANIFEST.json",
    "README.md",
    "SECURITY.md",
    "changelogs",
    "docs",
    "inventory",
    "meta",
    "playbooks",
    "plugins",
    "requirements.yml",
    "roles",
}
LEFTOVER = re.compile(
    r"(^|/)(\.[^/]*|__pycache__|node_modules|connection-[^/]*\.yml|id_[a-z0-9]+|[^/]*\.(pyc|whl|gz|xml))$"
)
SECRET = re.compile(rb"PRIVATE KEY-----|\$6\$[./A-Za-z0-9]{4,}\$[./A-Za-z0-9]{60,}")
IMPORTED = re.compile(rb"\bansible_collections\.((?!gpulab\.)[a-z]+\.[a-z]+)\.")
FOREIGN = re.compile(rb"\b((?:ansible\.(?!builtin\b)|community\.|containers\.|google\.)[a-z]+)\.[a-z_]{3,}\b")


def test_top_directories_are_the_expected_ones(contents: dict[str, bytes]) -> None:
    """A new directory of the checkout must be named here or in build_ignore of galaxy.yml."""
    assert {name.split("/")[0] for name in contents} == TOP
    assert {name.split("/")[1] for name in contents if name.startswith("inventory/")} == {"example", "gcp"}


def test_no_leftovers_are_inside(contents: dict[str, bytes]) -> None:
    """No hidden file, cache, built thing or key, however deep."""
    assert [name for name in contents if any(LEFTOVER.search(part) for part in name.split("/"))] == []


def test_no_secrets_and_no_path_of_this_machine_are_inside(contents: dict[str, bytes]) -> None:
    """It reveals no key, password hash or build path."""
    assert [name for name, data in contents.items() if SECRET.search(data) or str(ROOT).encode() in data] == []


def test_artefact_is_small(artefact: Path) -> None:
    """Less than 4 MB: most of it are the locks' digests, which no compression makes smaller. Galaxy takes 20 MB."""
    assert artefact.stat().st_size < 4_000_000


def test_every_role_plugin_and_playbook_is_inside(contents: dict[str, bytes]) -> None:
    """It holds exactly the tracked files of these directories."""
    directories = ("changelogs", "docs", "meta", "playbooks", "plugins", "roles")
    tracked = run(ROOT, "git", "ls-files", "--", *directories).split()
    assert sorted(
        name for name in contents if name.startswith(tuple(f"{directory}/" for directory in directories))
    ) == sorted(tracked)


def test_dependencies_are_the_called_collections(contents: dict[str, bytes]) -> None:
    """A collection that a role calls is installed along with this one, and no other one is."""
    # Roles and playbooks call by name, plugins import; a plugin's documentation may speak of other collections.
    patterns = {"roles": FOREIGN, "playbooks": FOREIGN, "plugins": IMPORTED}
    called = {
        found.decode()
        for name, data in contents.items()
        if name.split("/")[0] in patterns and not name.endswith(".md")
        for found in patterns[name.split("/")[0]].findall(data)
    }
    manifest = json.loads(contents["MANIFEST.json"])["collection_info"]
    assert called == set(manifest["dependencies"])
