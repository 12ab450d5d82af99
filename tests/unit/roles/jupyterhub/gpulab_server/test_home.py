# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of a home before its server starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gpulab_server import home


def test_home_with_room_passes_and_keeps_nothing(tmp_path: Path) -> None:
    """A missing home is an error with its number."""
    assert home.error_of(str(tmp_path)) == 0
    assert list(tmp_path.iterdir()) == []
    assert os.strerror(home.error_of(str(tmp_path / "gone"))) == "No such file or directory"


def test_home_check_runs_as_a_program(tmp_path: Path) -> None:
    """As the unit starts it; its status is the number of the error."""
    done = subprocess.run(
        [sys.executable, "-m", "gpulab_server.home"], cwd=Path(home.__file__).parents[1], timeout=120, check=False
    )
    assert done.returncode == 0
