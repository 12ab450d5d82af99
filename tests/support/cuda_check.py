# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the check scripts of the roles cuda and cudnn with a stand-in for the modules program and for nvcc."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

MODULE = """module() {
    [ "$1" = purge ] || echo "$2" >>"$LOADED"
    export PATH="$STANDINS:$PATH" CUDNN_HOME=/
}
"""
NVCC = """#!/bin/sh
if [ "$1" = --version ]; then echo "Cuda compilation tools, release {version}, V{version}.1"; exit; fi
{compile}
while [ $# -gt 1 ]; do if [ "$1" = -o ]; then printf '#!/bin/sh\\n{program}\\n' >"$2"; chmod 0755 "$2"; fi; shift; done
"""


def run_check(
    script: str,
    directory: Path,
    *arguments: str,
    version: str = "13.0",
    compiles: bool = True,
    program: str = "echo ran",
) -> subprocess.CompletedProcess[str]:
    """Run a script with an nvcc of this version, which makes a shell program; `loaded` lists the loaded modules."""
    nvcc = directory / "nvcc"
    fails = "" if compiles else "echo 'error: identifier is undefined' >&2; exit 1"
    nvcc.write_text(NVCC.format(version=version, compile=fails, program=program))
    nvcc.chmod(0o755)
    (directory / "module.sh").write_text(MODULE)
    path = directory / "check"
    path.write_text(script)
    names = {"BASH_ENV": directory / "module.sh", "STANDINS": directory, "LOADED": directory / "loaded"}
    environment = {**os.environ, **{name: str(value) for name, value in names.items()}}
    argv = ["bash", str(path), *arguments]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)
