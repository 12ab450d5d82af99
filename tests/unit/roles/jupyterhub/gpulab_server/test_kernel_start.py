# SPDX-License-Identifier: GPL-3.0-or-later
"""The start of a kernel without code from the working directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gpulab_server import specs


def test_module_of_the_working_directory_is_not_run(tmp_path: Path) -> None:
    """Unlike with -m; the arguments are the module's."""
    (tmp_path / "json").mkdir()
    for name in ("json/__init__.py", "json/tool.py", "runpy.py", "pathlib.py"):
        (tmp_path / name).write_text("print('foreign')\n")
    argv = [sys.executable, specs.START, "json.tool", "--compact"]
    done = subprocess.run(argv, cwd=tmp_path, input='{"a": 1}', capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == '{"a":1}'


def test_directory_that_others_write_is_not_exclusive(tmp_path: Path) -> None:
    """By mode; what belongs to another user is not either."""
    from gpulab_server.kernel_start import exclusive

    tmp_path.chmod(0o700)
    assert exclusive(str(tmp_path))
    tmp_path.chmod(0o770)
    assert not exclusive(str(tmp_path))
    tmp_path.chmod(0o702)
    assert not exclusive(str(tmp_path))
