# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that are searched for kernels."""

from __future__ import annotations

from pathlib import Path

from gpulab_server.directories import users_kernel_directories


def test_servers_own_kernels_do_not_show(tmp_path: Path) -> None:
    """Users' and the host's directories stay, in order."""
    server = tmp_path / "server"
    directories = users_kernel_directories(
        [f"{server}/share/jupyter/kernels", "/home/ada/.local/x", "/usr/local/share/x"], str(server)
    )
    assert directories == ["/home/ada/.local/x", "/usr/local/share/x"]
