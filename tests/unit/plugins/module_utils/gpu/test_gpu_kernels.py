# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels, their headers and NVIDIA's modules."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.gpulab.core.plugins.module_utils.gpu import driver, kernels


def test_host_without_any_file_has_no_driver(tmp_path: Path) -> None:
    """A container may lack dpkg's record, modinfo and the kernel's files."""
    assert driver.packages(tmp_path) == {}
    assert kernels.modules(tmp_path, lambda _path: {}) == {}
    assert driver.kind(tmp_path, tmp_path, {}) == "none"


def test_headers_count_when_their_link_has_a_target(tmp_path: Path) -> None:
    """Debian's headers are in /usr/src; a removed kernel leaves a dangling link."""
    directory = tmp_path / "lib" / "modules" / "6.1.0-56-amd64"
    directory.mkdir(parents=True)
    (directory / "build").symlink_to("/usr/src/linux-headers-6.1.0-56-amd64")
    assert kernels.kernels(tmp_path) == []
    (tmp_path / "usr" / "src" / "linux-headers-6.1.0-56-amd64").mkdir(parents=True)
    (tmp_path / "usr" / "src" / "linux-headers-6.1.0-56-amd64" / "Makefile").touch()
    assert kernels.kernels(tmp_path) == [{"release": "6.1.0-56-amd64", "installed": False, "headers": True}]
