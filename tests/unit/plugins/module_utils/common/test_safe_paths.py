# SPDX-License-Identifier: GPL-3.0-or-later
"""Root works by path only where no other account can replace what is in a directory."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.gpulab.core.plugins.module_utils.common.safe_paths import unsafe_directory


def test_own_closed_directory_is_safe(tmp_path: Path) -> None:
    """Also one that does not exist yet, and one behind a link of the own account."""
    tmp_path.chmod(0o755)
    (tmp_path / "link").symlink_to(tmp_path)
    for directory in (tmp_path, tmp_path / "new" / "deep", tmp_path / "link"):
        assert unsafe_directory(directory, tmp_path) is None, directory


def test_directory_that_others_can_write_is_named(tmp_path: Path) -> None:
    """The sticky bit helps above the directory, not in it: its owner can rename an entry there."""
    shared = tmp_path / "shared"
    (shared / "homes").mkdir(parents=True)
    (shared / "homes").chmod(0o755)
    (tmp_path / "link").symlink_to(shared / "homes")
    for mode, expected in ((0o777, shared), (0o775, shared), (0o1777, None), (0o755, None)):
        shared.chmod(mode)
        assert unsafe_directory(shared / "homes", tmp_path) == expected
        assert unsafe_directory(tmp_path / "link", tmp_path) == expected
    shared.chmod(0o1777)
    assert unsafe_directory(shared, tmp_path) == shared
