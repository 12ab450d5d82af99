# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of revoked users lose their privileges, and no link leads to other files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.gpulab.core.plugins.modules import privileged_files


def privileged(root: Path) -> dict[str, Path]:
    """Make files with privileges and without, below a directory with a line break in its name."""
    deep = root / "a\nb" / "c"
    deep.mkdir(parents=True)
    (root / "shared").mkdir()
    (root / "shared").chmod(0o2770)
    files = {name: deep / name for name in ("setuid", "setgid", "plain")}
    odd = Path(os.fsdecode(bytes(root) + b"/\xff\xfe"))
    files["odd"] = odd
    for path in files.values():
        path.write_text("")
    for name, mode in {"setuid": 0o4755, "setgid": 0o2775, "odd": 0o6711, "plain": 0o755}.items():
        files[name].chmod(mode)
    return files


def test_privileges_are_removed_and_other_permissions_stay(tmp_path: Path) -> None:
    """Directories keep their bit, which shares a directory; nothing outside is touched by links."""
    outside = tmp_path / "outside"
    outside.write_text("")
    outside.chmod(0o4755)
    root = tmp_path / "home"
    root.mkdir()
    files = privileged(root)
    (root / "link").symlink_to(outside)
    (root / "up").symlink_to(tmp_path)
    checked, problems = privileged_files.cleaned(root, [], [], True, 60, True)
    assert (len(checked), problems) == (3, [])
    found, problems = privileged_files.cleaned(root, [], [], True, 60, False)
    assert found == checked
    assert problems == []
    assert any(r"\xff\xfe" in path for path in found)
    modes = {name: path.stat().st_mode & 0o7777 for name, path in files.items()}
    assert modes == {"setuid": 0o755, "setgid": 0o775, "odd": 0o711, "plain": 0o755}
    assert (root / "shared").stat().st_mode & 0o7777 == 0o2770
    assert outside.stat().st_mode & 0o7777 == 0o4755
    assert privileged_files.cleaned(root, [], [], True, 60, False) == ([], [])


def test_common_directories_change_only_files_of_the_user(tmp_path: Path) -> None:
    """A user's files, and files with the bit of a revoked group."""
    files = privileged(tmp_path)
    stranger, own, group = os.getuid() + 1, os.getuid(), os.getgid()
    assert privileged_files.cleaned(tmp_path, [stranger], [group + 1], False, 60, False) == ([], [])
    found, _problems = privileged_files.cleaned(tmp_path, [], [group], False, 60, False)
    assert len(found) == 2
    assert files["setuid"].stat().st_mode & 0o7777 == 0o4755
    found, _problems = privileged_files.cleaned(tmp_path, [own], [], False, 60, False)
    assert [path.rpartition("/")[2] for path in found] == ["setuid"]


def test_file_that_is_exchanged_meanwhile_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a directory that became a link, nor the file itself."""
    root, target = tmp_path / "home", tmp_path / "target"
    for directory in (root, target):
        directory.mkdir()
        (directory / "file").write_text("")
        (directory / "file").chmod(0o4755)
    (root / "link").symlink_to(target)
    (root / "to-file").symlink_to(target / "file")
    names = [bytes(root / name) for name in ("link/file", "to-file", "gone/file")]
    monkeypatch.setattr(privileged_files, "search", lambda *_arguments: (names, ""))
    assert privileged_files.cleaned(root, [], [], True, 60, False) == ([], [])
    assert (target / "file").stat().st_mode & 0o7777 == 0o4755


def test_very_deep_directories_are_searched(tmp_path: Path) -> None:
    """Their paths are longer than one system call takes."""
    root = tmp_path / "home"
    root.mkdir()
    deep = os.open(root, os.O_RDONLY)
    for _level in range(1200):
        os.mkdir("d" * 30, dir_fd=deep)
        deeper = os.open("d" * 30, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = deeper
    os.close(os.open("setuid", os.O_CREAT | os.O_WRONLY, 0o755, dir_fd=deep))
    os.chmod("setuid", 0o4755, dir_fd=deep)  # noqa: S103  # a marker below the test's own directory
    found, problems = privileged_files.cleaned(root, [], [], True, 60, False)
    mode = os.stat("setuid", dir_fd=deep).st_mode & 0o7777
    os.close(deep)
    # pytest's own cleanup stops at the recursion limit.
    subprocess.run(["rm", "-rf", str(root)], timeout=120, check=True)
    assert (len(found), problems, mode) == (1, [], 0o755)
    assert len(found[0]) < 310


def test_search_has_a_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the directory."""
    monkeypatch.setattr(subprocess, "run", lambda argv, **_more: subprocess.CompletedProcess(argv, 124, b"", b""))
    assert privileged_files.cleaned(tmp_path, [], [], True, 7, False)[1] == [f"{tmp_path}: searched for 7 seconds only"]
