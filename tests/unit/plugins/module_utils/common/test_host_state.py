# SPDX-License-Identifier: GPL-3.0-or-later
"""State of a host, read from recorded files."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.gpulab.core.plugins.module_utils.common import host_state


def test_os_release_is_read_with_and_without_quotes(tmp_path: Path) -> None:
    """Both forms are in use."""
    path = tmp_path / "os-release"
    path.write_text('ID=debian\nVERSION_ID="12"\n# no\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    found = host_state.os_release(path)
    assert (found["ID"], found["VERSION_ID"]) == ("debian", "12")
    assert host_state.os_release(tmp_path / "none") == {}
