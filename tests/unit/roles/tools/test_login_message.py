# SPDX-License-Identifier: GPL-3.0-or-later
"""The message at login of the role tools."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]


def test_login_message_is_a_shell_script() -> None:
    """A syntax error would be printed at every login."""
    path = ROOT / "roles/tools/templates/gpulab-info.sh.j2"
    assert subprocess.run(["sh", "-n", str(path)], timeout=120, check=False).returncode == 0
