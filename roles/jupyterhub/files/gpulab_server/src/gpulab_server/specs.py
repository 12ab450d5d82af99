# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line and environment of kernels, which are safe in directories that other users can write.

They also apply to kernels that users have registered, regardless of their kernel.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

LAUNCHER = "ipykernel_launcher"
START = str(Path(__file__).with_name("kernel_start.py"))
R_FILES = {"R_PROFILE_USER": "~/.Rprofile", "R_ENVIRON_USER": "~/.Renviron"}
"""R would first search the directory of the notebook for both files."""


def command(argv: Sequence[str]) -> list[str]:
    """Return a command that runs the same program without code from the directory of the notebook.

    `python -m MODULE` searches it first; R restores a workspace (.RData) in it.
    """
    program = Path(argv[0]).name if argv else ""
    if program.startswith("python") and "-m" in argv[:-1]:
        position = list(argv).index("-m")
        return [*argv[:position], START, *argv[position + 1 :]]
    if program.startswith("python") and len(argv) > 1 and Path(argv[1]).name == f"{LAUNCHER}.py":
        return [argv[0], START, LAUNCHER, *argv[2:]]
    if program == "R" and "--no-restore" not in argv:
        return [argv[0], "--no-restore", *argv[1:]]
    return list(argv)


def environment(argv: Sequence[str], own: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of a kernel, for R with the paths of the user's own files."""
    return {**(R_FILES if argv and Path(argv[0]).name == "R" else {}), **own}
