# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare an environment with its wheels: the hashes of all files, and the versions of the loaded CUDA libraries.

The package gpulab_cli has a link to this file, so it imports the standard library only.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import Distribution, distributions
from pathlib import Path

LOAD_LIBRARIES = r"""
import ctypes, glob, json, os, sys
site, versions = sys.argv[1], {}
for name, pattern, function in json.loads(sys.argv[2]):
    path = next(iter(glob.glob(os.path.join(site, pattern))), "")
    number = ctypes.c_int()
    try:
        library = ctypes.CDLL(path)
        if function == "cudnnGetVersion":
            library.cudnnGetVersion.restype = ctypes.c_size_t
            versions[name] = library.cudnnGetVersion()
        else:
            library.ncclGetVersion(ctypes.byref(number))
            versions[name] = number.value
    except OSError as error:
        versions[name] = str(error)
print(json.dumps(versions))
"""
"""Loads libraries and prints their versions. Runs in the environment's own interpreter, as the frameworks do."""
LOAD_SECONDS = 300.0
"""Time limit for loading the libraries, in seconds: hundreds of megabytes from a slow disk."""

LIBRARIES = {
    "cudnn": ("nvidia/cudnn/lib/libcudnn.so.*", "cudnnGetVersion"),
    "nccl": ("nvidia/nccl/lib/libnccl.so.*", "ncclGetVersion"),
}


def damaged(packages: Iterable[Distribution]) -> list[str]:
    """Return the files that differ from their wheel's RECORD, each with its package."""
    # Hashing releases the interpreter's lock, so threads run in parallel.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return [problem for problems in pool.map(damaged_in, packages) for problem in problems]


def damaged_in(package: Distribution) -> list[str]:
    """Return the files of one package that differ from its wheel's RECORD."""
    problems = []
    name, directory = package.metadata["Name"], str(package.locate_file(""))
    # Not Distribution.files: from Python 3.12 on it leaves out missing files.
    for path, recorded, _size in csv.reader((package.read_text("RECORD") or "").splitlines()):
        mode, _separator, expected = recorded.partition("=")
        # Some wheels contain bytecode by mistake (NumPy 2.2); the installer compiles it again.
        if mode != "sha256" or path.endswith(".pyc"):
            continue
        try:
            # os.path, not pathlib: an object for each of all files takes longer
            if digest(os.path.join(directory, path)) != expected:  # noqa: PTH118
                problems.append(f"{name}: {path} has other content")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            problems.append(f"{name}: {path} is missing")
    return problems


def digest(path: str) -> str:
    """Return the SHA-256 of a file as RECORD writes it (Recording installed projects: urlsafe base64, no padding)."""
    sha256 = hashlib.sha256()
    with Path(path).open("rb", buffering=0) as opened:
        while chunk := opened.read(1 << 20):
            sha256.update(chunk)
    return base64.urlsafe_b64encode(sha256.digest()).rstrip(b"=").decode("ascii")


def version_number(pin: str) -> int:
    """Return 92800 for 9.28.0.42, as cuDNN 9 and NCCL 2.9 and later count (cudnn_version.h, nccl.h)."""
    major, minor, patch = (int(part) for part in [*pin.split("."), "0", "0"][:3])
    return major * 10000 + minor * 100 + patch


def wrong_libraries(interpreter: Path, site: Path, pins: Mapping[str, str]) -> list[str]:
    """Load the CUDA libraries that a lock pins and return those whose version differs."""
    pinned = {}
    for name, version in pins.items():
        if match := re.fullmatch(r"nvidia-(cudnn|nccl)-cu\d+", name):
            pinned[match[1]] = (name, version)
    if not pinned:
        return []
    libraries = json.dumps([[library, *LIBRARIES[library]] for library in pinned])
    argv = [str(interpreter), "-I", "-c", LOAD_LIBRARIES, str(site), libraries]
    result = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=LOAD_SECONDS)
    loaded = json.loads(result.stdout)
    return [
        f"{name} is pinned to {version}, and the loaded library reports {loaded[library]}"
        for library, (name, version) in pinned.items()
        if loaded[library] != version_number(version)
    ]


def problems(environment: Path, pins: Mapping[str, str]) -> list[str]:
    """Return all differences between an environment and its locked wheels."""
    site = next((environment / "lib").glob("python3.*/site-packages"))
    return damaged(distributions(path=[str(site)])) + wrong_libraries(environment / "bin" / "python", site, pins)
