# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the NVML mock for a program that manages GPUs: build.py PROGRAM DIRECTORY. Needs only gcc."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent / "mock.c"


def required(program: Path) -> set[str]:
    """Return the names of NVML's functions that a program loads."""
    return {name.decode() for name in re.findall(rb"\0(nvml[A-Z]\w+)(?=\0)", program.read_bytes())}


def implemented() -> set[str]:
    """Return the functions that the mock implements."""
    return set(re.findall(r"\b(nvml[A-Z]\w+)\([^;]*?\)\s*\{", SOURCE.read_text(encoding="utf-8"), re.DOTALL))


def build(program: Path | None, directory: Path) -> int:
    """Build libnvidia-ml.so.1 in a directory and return the number of functions that it only declines.

    Without a program, the library has what the mock implements and nothing else.
    """
    stubs = sorted(required(program) - implemented()) if program else []
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "stubs.h").write_text("".join(f"STUB({name})\n" for name in stubs), encoding="utf-8")
    library = directory / "libnvidia-ml.so.1"
    argv = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-I", str(directory), "-o", str(library), str(SOURCE)]
    subprocess.run(argv, check=True, timeout=120)
    return len(stubs)


if __name__ == "__main__":
    print(f"{build(Path(sys.argv[1]), Path(sys.argv[2]))} functions answer 'not supported'")  # noqa: T201
