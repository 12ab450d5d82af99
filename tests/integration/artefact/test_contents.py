# SPDX-License-Identifier: GPL-3.0-or-later
"""The artefact holds everything that a user needs, and nothing of the place where it was built."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

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
SECRETS = [
    "inventory/mylab/hosts.yml",
    "inventory/mylab/hosts.ini",
    "inventory/mylab/group_vars/gpu_hosts/vault.yml",
    "inventory/mylab/host_vars/gpu1.yml",
    "inventory/mylab/files/hub.key",
    "inventory/class-2026.csv",
    "inventory/example-of-ours/hosts.yml",
    "inventory/exam/hosts.yml",
    "inventory/examples.yml",
    "inventory/gcp2/gcp.yml",
    "inventory/g/hosts.yml",
    "inventory/hosts",
    "inventory/local/host_vars/lab.yml",
    "inventory/example/files/hub.pem",
    "inventory/example/host_vars/gpu1.yml",
    ".env",
    ".vault_pass",
    "playbooks/.vault_pass",
    "playbooks/group_vars/all.yml",
    "playbooks/host_vars/gpu1.yml",
    "playbooks/files/hub.pem",
    "playbooks/site.retry",
    "group_vars/all.yml",
    "host_vars/gpu1.yml",
    "files/lab-ca.crt",
    "files/hub.txt",
    "hosts",
    "id_rsa",
    "roles/jupyterhub/files/id_ed25519",
    "roles/jupyterhub/files/hub.key",
    "build/passwords/mylab/ada",
    "build/gpulab-core-0.0.1.tar.gz",
]
"""Files of a site that lie in a checkout, as users keep them."""
UNTRACKED = [
    "passwords.yml",
    "docs/our-hosts.txt",
    "roles/users/files/class.xlsx",
    "plugins/notes.txt",
    "playbooks/ours.yml",
]
"""Files that only git can tell from those of the project."""
IMPORTED = re.compile(rb"\bansible_collections\.((?!gpulab\.)[a-z]+\.[a-z]+)\.")
FOREIGN = re.compile(rb"\b((?:ansible\.(?!builtin\b)|community\.|containers\.|google\.)[a-z]+)\.[a-z_]{3,}\b")


def test_top_directories_are_the_expected_ones(contents: dict[str, bytes]) -> None:
    """A new directory of the checkout must be named here and in scripts/build, or in build_ignore of galaxy.yml."""
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


def git(directory: Path, *arguments: str) -> None:
    """Run git in a directory, as a user of its own."""
    identity = ("-c", "user.name=ada", "-c", "user.email=ada@lab.example", "-c", "commit.gpgsign=false")
    run(directory, "git", *identity, *arguments)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the tracked files as a repository, with secrets of a site that git does not track."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, timeout=60).stdout
    pack = ["tar", "--create", "--null", "--files-from=-"]
    packed = subprocess.run(pack, cwd=ROOT, input=listed, check=True, capture_output=True, timeout=60).stdout
    subprocess.run(["tar", "--extract"], cwd=copy, input=packed, check=True, timeout=60)
    git(copy, "init", "--quiet")
    git(copy, "add", "--all")
    git(copy, "commit", "--quiet", "--message", "Copy")
    for name in SECRETS + UNTRACKED:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("hunter2-planted\n")
    return copy


def planted(artefact: Path) -> list[str]:
    """Return the files of an artefact that hold the planted secret."""
    with tarfile.open(artefact) as opened:
        files = {member.name: opened.extractfile(member) for member in opened.getmembers() if member.isfile()}
        return sorted(name for name, file in files.items() if file and b"hunter2-planted" in file.read())


def built(checkout: Path, *command: str) -> Path:
    """Build a checkout and return the artefact."""
    run(checkout, *command)
    (artefact,) = (checkout / "out").glob("gpulab-core-*.tar.gz")
    return artefact


def test_make_build_packs_tracked_files_only(checkout: Path, artefact: Path) -> None:
    """Whatever lies in the checkout, and whatever was written into the example's files."""
    with (checkout / "inventory/example/hosts.yml").open("a") as hosts:
        hosts.write("# hunter2-planted\n")
    packed = built(checkout, "scripts/build", "out")
    assert planted(packed) == []
    with tarfile.open(packed) as own, tarfile.open(artefact) as expected:
        assert sorted(own.getnames()) == sorted(expected.getnames())


def test_ansible_galaxy_alone_packs_no_secret(checkout: Path) -> None:
    """build_ignore holds without scripts/build; files that look like the project's own are git's to tell apart."""
    packed = built(checkout, "ansible-galaxy", "collection", "build", "--output-path", "out")
    assert set(planted(packed)) <= set(UNTRACKED)


def test_checkout_without_git_packs_no_secret(checkout: Path) -> None:
    """A downloaded archive has no repository: the paths and build_ignore remain."""
    (checkout / ".git").rename(checkout / "build" / "git")
    assert set(planted(built(checkout, "scripts/build", "out"))) <= set(UNTRACKED)


def test_git_ignores_own_inventories(checkout: Path) -> None:
    """They are not committed by accident, and no tracked file is ignored."""
    shown = run(checkout, "git", "status", "--porcelain", "--untracked-files=all")
    assert [
        line
        for line in shown.splitlines()
        if "inventory/" in line and "/example/" not in line and "/local/" not in line
    ] == []
    assert run(checkout, "git", "ls-files", "--cached", "--ignored", "--exclude-standard") == ""
