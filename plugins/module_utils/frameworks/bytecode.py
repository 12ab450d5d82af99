# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the bytecode of an environment, which users' sessions cannot write."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible_collections.gpulab.core.plugins.module_utils.frameworks.installer_messages import DISK_FULL, explain
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.installers import INSTALL_SECONDS, InstallError

TESTS = re.compile(r"/site-packages/(?:.*/)?(?:tests?/|[^/]+_test\.py$)")
"""Packages' own tests, as their directories and files are commonly named. `testing` is used by users."""
PORTIONS = 4
"""Portions of files per processor: a processor that has finished early takes one more."""


def write_bytecode(environment: Path) -> None:
    """Compile the Python files of an environment; skip those that do not compile, which are not meant to be imported.

    Packages' own tests are left out: they are a fifth of all code, and users do not import them. Raises InstallError
    when the disk is full.
    """
    paths = [path for path in python_files(environment / "lib") if not TESTS.search(path)]
    paths.sort(key=os.path.getsize, reverse=True)
    workers = len(os.sched_getaffinity(0))
    # compileall's own -j hands over a few files at a time, which takes half as long again.
    portions = [paths[number :: workers * PORTIONS] for number in range(workers * PORTIONS)]
    interpreter = environment / "bin" / "python"
    with ThreadPoolExecutor(workers) as pool:
        output = "".join(pool.map(lambda portion: compile_files(interpreter, portion), filter(None, portions)))
    if DISK_FULL.search(output):
        raise InstallError(explain("compileall", output))


def compile_files(interpreter: Path, paths: list[str]) -> str:
    """Compile some files and return the messages about those that do not compile."""
    try:
        result = subprocess.run(
            [str(interpreter), "-I", "-m", "compileall", "-q", "-i", "-"],
            input=b"\n".join(map(os.fsencode, paths)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            check=False,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError(
            f"compileall took longer than {INSTALL_SECONDS / 60:.0f} minutes and was stopped."
        ) from error
    return result.stdout.decode(errors="replace")


def python_files(directory: Path) -> Iterator[str]:
    """Return the paths of the Python files below a directory."""
    for parent, _directories, names in os.walk(directory):
        for name in names:
            path = f"{parent}/{name}"
            if name.endswith(".py") and os.path.isfile(path):  # noqa: PTH113  # tens of thousands of files
                yield path
