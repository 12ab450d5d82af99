# SPDX-License-Identifier: GPL-3.0-or-later
"""A release that a process uses is recognised."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from ansible_collections.gpulab.core.plugins.module_utils.frameworks.usage import is_in_use


def test_release_of_a_running_process_is_in_use(tmp_path: Path) -> None:
    """A process that was started from a release keeps it on the disk."""
    program = tmp_path / "sleep"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([str(program), "60"]) as process:
        try:
            # The new process's command line appears a moment after its start.
            deadline = time.monotonic() + 5
            while not is_in_use(tmp_path) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert is_in_use(tmp_path)
            assert not is_in_use(tmp_path / "other")
        finally:
            process.kill()
