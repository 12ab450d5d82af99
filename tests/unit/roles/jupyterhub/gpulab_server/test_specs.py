# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line and environment of kernels."""

from __future__ import annotations

import pytest
from gpulab_server import specs


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (
            ["/e/python", "-m", "ipykernel_launcher", "-f", "x"],
            ["/e/python", specs.START, "ipykernel_launcher", "-f", "x"],
        ),
        (["python3.12", "-Xy", "-m", "bash_kernel", "-f"], ["python3.12", "-Xy", specs.START, "bash_kernel", "-f"]),
        (["/e/python", "/s/ipykernel_launcher.py", "-f"], ["/e/python", specs.START, "ipykernel_launcher", "-f"]),
        (["R", "--slave", "-e", "x"], ["R", "--no-restore", "--slave", "-e", "x"]),
        (["R", "--slave", "--no-restore"], ["R", "--slave", "--no-restore"]),
        (["julia", "-m", "x"], ["julia", "-m", "x"]),
        ([], []),
    ],
)
def test_kernels_are_started_safely(argv: list[str], expected: list[str]) -> None:
    """Python by a file, R without the workspace of the directory; others as they are."""
    assert specs.command(argv) == expected
    assert ("R_PROFILE_USER" in specs.environment(argv, {"A": "1"})) == (argv[:1] == ["R"])
