"""How kernels are started in directories that others may write: pure functions of the command line of a kernel.

Kernels that users registered themselves are started like this, too, whatever their kernel.json says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

LAUNCHER = "ipykernel_launcher"
START = str(Path(__file__).with_name("kernel_start.py"))
R_FILES = {"R_PROFILE_USER": "~/.Rprofile", "R_ENVIRON_USER": "~/.Renviron"}
"""R would read both from the directory of the notebook first."""


def command(argv: Sequence[str]) -> list[str]:
    """Return a command that runs the same program without looking for it in the directory of the notebook.

    `python -m MODULE` looks there first; R restores the workspace (.RData) that it finds there.
    """
    program = Path(argv[0]).name if argv else ""
    if program.startswith("python") and "-m" in argv[:-1]:
        place = list(argv).index("-m")
        return [*argv[:place], START, *argv[place + 1 :]]
    if program.startswith("python") and len(argv) > 1 and Path(argv[1]).name == f"{LAUNCHER}.py":
        return [argv[0], START, LAUNCHER, *argv[2:]]
    if program == "R" and "--no-restore" not in argv:
        return [argv[0], "--no-restore", *argv[1:]]
    return list(argv)


def environment(argv: Sequence[str], own: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a kernel: its own, and for R where its user's files are."""
    return {**(R_FILES if argv and Path(argv[0]).name == "R" else {}), **own}
