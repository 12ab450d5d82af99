# SPDX-License-Identifier: GPL-3.0-or-later
"""State of a host, read from recorded files."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.common import host_state


def test_os_release_is_read_with_and_without_quotes(tmp_path: Path) -> None:
    """Both forms are in use."""
    path = tmp_path / "os-release"
    path.write_text('ID=debian\nVERSION_ID="12"\n# no\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    found = host_state.os_release(path)
    assert (found["ID"], found["VERSION_ID"]) == ("debian", "12")
    assert host_state.os_release(tmp_path / "none") == {}


def test_mount_point_of_a_path_that_does_not_exist_yet() -> None:
    """Its nearest parent decides."""
    assert host_state.mount_point(Path("/proc/none/at/all")) == Path("/proc")
    assert host_state.mount_point(Path("/")) == Path("/")


def test_mount_options_that_keep_programs_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of the flags in statvfs(3)."""
    assert host_state.mount_problem(tmp_path / "new") == ""
    for flag, option in ((os.ST_NOEXEC | os.ST_NOSUID, "noexec"), (os.ST_RDONLY, "ro"), (os.ST_NODEV, "")):
        monkeypatch.setattr(os, "statvfs", lambda _, flag=flag: SimpleNamespace(f_flag=flag))
        assert host_state.mount_problem(tmp_path) == option


@pytest.mark.parametrize(
    ("blocks", "files", "inodes", "full"),
    [(0, 1000, 900, True), (100_000, 1000, 0, True), (100_000, 0, 0, False), (100_000, 1000, 900, False)],
)
def test_file_system_is_full_without_space_or_inodes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, blocks: int, files: int, inodes: int, full: bool
) -> None:
    """Some file systems, such as btrfs, count no inodes."""
    state = SimpleNamespace(f_frsize=4096, f_bavail=blocks, f_files=files, f_favail=inodes)
    monkeypatch.setattr(os, "statvfs", lambda _: state)
    assert bool(host_state.full_file_systems([tmp_path])) is full
