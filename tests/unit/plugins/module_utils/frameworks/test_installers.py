# SPDX-License-Identifier: GPL-3.0-or-later
"""Installers: time limits, environment files, archives."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.frameworks import installers
from ansible_collections.gpulab.core.plugins.plugin_utils.frameworks.archives import pack


def test_installer_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names it and the things to check."""
    monkeypatch.setattr(installers, "INSTALL_SECONDS", 0.2)
    with pytest.raises(installers.InstallError, match=r"sleep took longer.*Check the mirrors"):
        installers.run_installer(["sleep", "30"], {"PATH": "/usr/bin:/bin"})


def test_environment_files_are_read_as_units_read_them(tmp_path: Path) -> None:
    """Comments are skipped, quotes belong to the file."""
    path = tmp_path / "sources.env"
    path.write_text('# c\nPIP_INDEX_URL=https://x.example/?a=b\nUV_FIND_LINKS="/a /b"\n\n')
    assert installers.read_environment_file(path) == {
        "PIP_INDEX_URL": "https://x.example/?a=b",
        "UV_FIND_LINKS": "/a /b",
    }
    assert installers.read_environment_file(tmp_path / "none") == {}


def test_packed_directory_is_unpacked_as_it_was(tmp_path: Path) -> None:
    """Caches are left out, and the same directory gives the same text."""
    source = tmp_path / "source"
    (source / "src" / "__pycache__").mkdir(parents=True)
    (source / "pyproject.toml").write_text("[project]\n")
    (source / "src" / "a.py").write_text("x = 1\n")
    (source / "src" / "__pycache__" / "a.pyc").write_text("junk")
    assert pack(source) == pack(source)
    installers.unpack(pack(source), tmp_path / "target")
    paths = sorted(str(path.relative_to(tmp_path / "target")) for path in (tmp_path / "target").rglob("*.*"))
    assert paths == ["pyproject.toml", "src/a.py"]
