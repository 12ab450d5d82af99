# SPDX-License-Identifier: GPL-3.0-or-later
"""Module host_files: which paths it changes, keeps and rejects."""

from __future__ import annotations

import getpass
import grp
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.modules import host_files

ME = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}


def managed(path: Path, check: bool = False, **entry: Any) -> host_files.ManagedPath:
    """Apply one entry and return it."""
    rest: dict[str, Any] = {
        "state": "file",
        "content": None,
        "target": None,
        "mode": None,
        "mark": None,
        "force": True,
        "create": True,
    }
    found = host_files.ManagedPath({"path": str(path), **rest, **ME, **entry}, check)
    found.apply()
    return found


def test_file_gets_content_and_mode_and_then_stays(tmp_path: Path) -> None:
    """The second run changes nothing."""
    path = tmp_path / "a"
    first = managed(path, content="one\n", mode="0640")
    assert (first.changed, path.read_text(), path.stat().st_mode & 0o7777) == (True, "one\n", 0o640)
    assert first.diffs[0] == {"before_header": str(path), "after_header": str(path), "before": "", "after": "one\n"}
    inode = path.stat().st_ino
    assert not managed(path, content="one\n", mode="0640").changed
    assert path.stat().st_ino == inode


def test_changed_content_is_swapped_in_one_step(tmp_path: Path) -> None:
    """A reader that has the old file open keeps the old text; no temporary file stays."""
    path = tmp_path / "a"
    path.write_text("old\n")
    with path.open() as reader:
        assert managed(path, content="new\n", mode="0644").diffs[0]["before"] == "old\n"
        assert reader.read() == "old\n"
    assert path.read_text() == "new\n"
    assert list(tmp_path.iterdir()) == [path]


def test_mode_alone_is_a_change(tmp_path: Path) -> None:
    """A private file that was made readable becomes private again."""
    path = tmp_path / "a"
    path.write_text("x")
    path.chmod(0o666)
    found = managed(path, content="x", mode="0600")
    assert found.changed
    assert "0666" in found.diffs[0]["before"]
    assert path.stat().st_mode & 0o7777 == 0o600


def test_kept_file_keeps_its_content_and_not_its_mode(tmp_path: Path) -> None:
    """A secret is created once; its mode is set every time."""
    path = tmp_path / "secret"
    path.write_text("mine")
    path.chmod(0o644)
    assert managed(path, content="another", mode="0600", force=False).changed
    assert (path.read_text(), path.stat().st_mode & 0o7777) == ("mine", 0o600)


@pytest.mark.parametrize(
    "entry",
    [
        {"content": "x", "mode": "0600"},
        {"state": "directory", "mode": "0755"},
        {"state": "link", "target": "/etc/hosts"},
    ],
    ids=lambda entry: str(entry.get("state", "file")),
)
def test_check_mode_reports_and_changes_nothing(tmp_path: Path, entry: dict[str, Any]) -> None:
    """Also below a directory and for an account that an earlier task would have created."""
    path = tmp_path / "not" / "yet"
    assert managed(path, check=True, **{**entry, "owner": "gpulab-later"}).changed
    assert not path.parent.exists()


def test_directory_link_and_absence(tmp_path: Path) -> None:
    """Each is created once and then stays."""
    directory, link = tmp_path / "deep" / "directory", tmp_path / "link"
    for _ in range(2):
        results = [
            managed(directory, state="directory", mode="0750").changed,
            managed(link, state="link", target=str(directory)).changed,
        ]
    assert results == [False, False]
    assert link.resolve() == directory
    assert directory.stat().st_mode & 0o7777 == 0o750
    assert managed(link, state="link", target="/etc/hosts").changed
    assert managed(link, state="absent").changed
    assert not managed(link, state="absent").changed
    assert managed(directory, state="absent").changed
    assert not directory.exists()


def test_link_is_replaced_by_a_file_and_its_target_stays(tmp_path: Path) -> None:
    """The target of a link may belong to any user: nothing is written to it."""
    other, path = tmp_path / "other", tmp_path / "link"
    other.write_text("other text")
    path.symlink_to(other)
    managed(path, content="ours", mode="0644")
    assert (other.read_text(), path.read_text(), path.is_symlink()) == ("other text", "ours", False)


def test_path_of_another_kind_is_rejected_by_name(tmp_path: Path) -> None:
    """A directory is never replaced by a file, a file never by a directory or a link."""
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(host_files.PathError, match="directory exists and is not a file: move it away"):
        managed(tmp_path / "directory", content="x", mode="0644")
    entries: list[dict[str, Any]] = [{"state": "directory", "mode": "0755"}, {"state": "link", "target": "/x"}]
    for entry in entries:
        with pytest.raises(host_files.PathError, match="file exists and is not a"):
            managed(tmp_path / "file", **entry)
    assert (tmp_path / "file").read_text() == "x"


def test_unknown_account_is_named(tmp_path: Path) -> None:
    """Nothing is left behind when the file cannot be given to its owner."""
    with pytest.raises(host_files.PathError, match="no such user"):
        managed(tmp_path / "a", content="x", mode="0600", owner="gpulab-missing")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"path": "etc/x", "content": "x", "mode": "0644"}, "must be absolute"),
        ({"path": "/x", "content": None, "mode": None}, "state file needs content and mode"),
        ({"path": "/x", "state": "link", "target": None}, "state link needs target"),
        ({"path": "/x", "state": "directory", "mode": None}, "state directory needs mode"),
    ],
)
def test_incomplete_entry_is_rejected(entry: dict[str, Any], words: str) -> None:
    """Before anything is changed."""
    assert words in host_files.problem({"state": "file", **entry})


def test_block_keeps_the_lines_of_others(tmp_path: Path) -> None:
    """Our lines come behind theirs, keep their place when they change, and replace those of Ansible's blockinfile."""
    path = tmp_path / "Renviron.site"
    path.write_text("TZ=UTC")
    assert managed(path, state="block", content="A=1\n", mark="gpulab", mode="0644").changed
    assert path.read_text() == "TZ=UTC\n# begin gpulab\nA=1\n# end gpulab\n"
    assert not managed(path, state="block", content="A=1\n", mark="gpulab", mode="0644").changed
    path.write_text("# BEGIN gpulab\nA=0\n# END gpulab\nB=2\n")
    assert managed(path, state="block", content="A=1\n", mark="gpulab", mode="0644").changed
    assert path.read_text() == "# begin gpulab\nA=1\n# end gpulab\nB=2\n"


def test_block_creates_the_file_and_rejects_binary_data(tmp_path: Path) -> None:
    """Nothing is lost of a file that cannot be read as text."""
    path = tmp_path / "a"
    assert managed(path, state="block", content="A=1\n", mark="x", mode="0644").changed
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(host_files.PathError, match="is not a text file"):
        managed(path, state="block", content="A=1\n", mark="x", mode="0644")
    assert path.read_bytes() == b"\xff\xfe"


def test_block_of_a_file_that_does_not_exist_is_skipped(tmp_path: Path) -> None:
    """A service that is not installed gets no configuration file."""
    path = tmp_path / "service"
    assert not managed(path, state="block", content="line\n", mark="lab", mode="0644", create=False).changed
    assert not path.exists()
    path.write_text("first\n")
    assert managed(path, state="block", content="line\n", mark="lab", mode="0644", create=False).changed
    assert path.read_text() == "first\n# begin lab\nline\n# end lab\n"


def test_directory_of_a_package_keeps_its_mode(tmp_path: Path) -> None:
    """It is created where it is missing, and keeps the mode that the package gave it."""
    path = tmp_path / "rules.d"
    assert managed(path, state="directory", mode="0755", force=False).changed
    path.chmod(0o700)
    assert not managed(path, state="directory", mode="0755", force=False).changed
    assert path.stat().st_mode & 0o7777 == 0o700


def test_file_is_checked_before_it_is_replaced(tmp_path: Path) -> None:
    """A rejected text is not written, the output is in the message; check mode does not run the command."""
    path = tmp_path / "a"
    managed(path, content="good\n", mode="0644", validate="grep -q good %s")
    with pytest.raises(host_files.PathError, match="was not changed: sh rejects it: line 1 is bad"):
        managed(path, content="bad\n", mode="0644", validate="sh -c 'echo line 1 is bad >&2; exit 1' %s")
    assert path.read_text() == "good\n"
    assert managed(path, check=True, content="bad\n", mode="0644", validate="false %s").changed
    assert path.read_text() == "good\n"
    assert list(tmp_path.iterdir()) == [path]


def test_file_of_a_package_that_is_not_installed_is_skipped(tmp_path: Path) -> None:
    """Without its directory nothing would read it."""
    path = tmp_path / "service.d" / "ours.conf"
    assert not managed(path, content="x\n", mode="0644", create=False).changed
    path.parent.mkdir()
    assert managed(path, content="x\n", mode="0644", create=False).changed


def test_checked_file_has_its_final_name(tmp_path: Path) -> None:
    """A checker of systemd units reads the kind of unit from the name."""
    path = tmp_path / "gpulab.service"
    managed(path, content="x", mode="0644", validate="sh -c 'basename $1 | grep -qx gpulab.service' sh %s")
    assert path.read_text() == "x"


def test_checker_that_is_not_installed_can_be_optional(tmp_path: Path) -> None:
    """By default a missing checker is an error that names the file."""
    entry: dict[str, Any] = {"content": "x", "mode": "0644", "validate": "gpulab-no-such-checker %s"}
    with pytest.raises(host_files.PathError, match="a was not changed: it could not be checked"):
        managed(tmp_path / "a", **entry)
    assert managed(tmp_path / "a", **entry, validate_if_installed=True).changed


@pytest.fixture(params=[0o077, 0o027, 0o000])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Set root's umask as hardened hosts have it."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(*paths: Path) -> list[str]:
    """Return the modes of paths."""
    return [f"{path.stat().st_mode & 0o7777:04o}" for path in paths]


def test_directories_and_files_have_their_modes_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """Missing parents can be entered by all users."""
    top, middle, kernel = tmp_path / "jupyter", tmp_path / "jupyter/kernels", tmp_path / "jupyter/kernels/ml"
    managed(kernel, state="directory", mode="0755")
    managed(kernel / "kernel.json", content="{}", mode="0644")
    managed(tmp_path / "secret", state="directory", mode="0700")
    assert modes(top, middle, kernel, kernel / "kernel.json") == ["0755", "0755", "0755", "0644"]
    assert modes(tmp_path / "secret") == ["0700"]


def test_parents_that_exist_keep_their_modes(tmp_path: Path) -> None:
    """They may belong to another role."""
    (tmp_path / "own").mkdir(mode=0o711)
    managed(tmp_path / "own/new/x", state="directory", mode="0750")
    assert modes(tmp_path / "own", tmp_path / "own/new", tmp_path / "own/new/x") == ["0711", "0755", "0750"]


def test_second_run_repairs_directories_of_an_earlier_one(tmp_path: Path, umask: int) -> None:
    """Each directory that a role names has its mode."""
    (tmp_path / "kernels").mkdir(mode=0o700)
    assert managed(tmp_path / "kernels", state="directory", mode="0755").changed
    assert modes(tmp_path / "kernels") == ["0755"]


def test_diff_shows_no_login(tmp_path: Path) -> None:
    """Neither the old one nor the new one."""
    path = tmp_path / "sources.env"
    path.write_text("PIP_INDEX_URL=https://svc:s3cret-old@mirror/simple\n")
    found = managed(path, content="PIP_INDEX_URL='https://s3cret@mirror/simple'\n", mode="0644")
    assert found.diffs[0]["before"] == "PIP_INDEX_URL=https://***@mirror/simple\n"
    assert found.diffs[0]["after"] == "PIP_INDEX_URL='https://***@mirror/simple'\n"
    assert "s3cret@" in path.read_text()
