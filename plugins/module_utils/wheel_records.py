# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether an environment holds what its wheels brought: hashes of all files, and the versions of loaded libraries."""

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

PROBE = r"""
import ctypes, glob, json, os, sys
site, found = sys.argv[1], {}
for name, pattern, function in json.loads(sys.argv[2]):
    path = next(iter(glob.glob(os.path.join(site, pattern))), "")
    number = ctypes.c_int()
    try:
        library = ctypes.CDLL(path)
        if function == "cudnnGetVersion":
            library.cudnnGetVersion.restype = ctypes.c_size_t
            found[name] = library.cudnnGetVersion()
        else:
            library.ncclGetVersion(ctypes.byref(number))
            found[name] = number.value
    except OSError as error:
        found[name] = str(error)
print(json.dumps(found))
"""
"""Loads libraries and asks them for their version. Runs in the environment's own interpreter, as the frameworks do."""

LIBRARIES = {
    "cudnn": ("nvidia/cudnn/lib/libcudnn.so.*", "cudnnGetVersion"),
    "nccl": ("nvidia/nccl/lib/libnccl.so.*", "ncclGetVersion"),
}


def damaged(packages: Iterable[Distribution]) -> list[str]:
    """Give the files that are not what their wheel's RECORD says, each with its package."""
    # Hashing leaves other threads the interpreter.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return [problem for found in pool.map(damaged_in, packages) for problem in found]


def damaged_in(package: Distribution) -> list[str]:
    """Give the files of one package that are not what its wheel's RECORD says."""
    found = []
    owner, directory = package.metadata["Name"], str(package.locate_file(""))
    # Not Distribution.files: from Python 3.12 on it leaves out what is missing.
    for path, recorded, _size in csv.reader((package.read_text("RECORD") or "").splitlines()):
        mode, _mark, wanted = recorded.partition("=")
        # Some wheels carry bytecode by mistake (NumPy 2.2); the installer compiles it again.
        if mode != "sha256" or path.endswith(".pyc"):
            continue
        try:
            if digest(os.path.join(directory, path)) != wanted:  # noqa: PTH118  # a Path for each of all files takes longer
                found.append(f"{owner}: {path} has other content")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            found.append(f"{owner}: {path} is missing")
    return found


def digest(path: str) -> str:
    """Give the SHA-256 of a file as RECORD writes it (Recording installed projects: urlsafe base64, no padding)."""
    sha256 = hashlib.sha256()
    with Path(path).open("rb", buffering=0) as opened:
        while chunk := opened.read(1 << 20):
            sha256.update(chunk)
    return base64.urlsafe_b64encode(sha256.digest()).rstrip(b"=").decode("ascii")


def version_number(pin: str) -> int:
    """Turn 9.28.0.42 into 92800, as cuDNN 9 and NCCL 2.9 and later count (cudnn_version.h, nccl.h)."""
    major, minor, patch = (int(part) for part in [*pin.split("."), "0", "0"][:3])
    return major * 10000 + minor * 100 + patch


def wrong_libraries(interpreter: Path, site: Path, pins: Mapping[str, str]) -> list[str]:
    """Load the CUDA libraries that a lock pins, and give those whose version is another one."""
    wanted = {}
    for name, version in pins.items():
        if match := re.fullmatch(r"nvidia-(cudnn|nccl)-cu\d+", name):
            wanted[match[1]] = (name, version)
    if not wanted:
        return []
    asked = json.dumps([[library, *LIBRARIES[library]] for library in wanted])
    argv = [str(interpreter), "-I", "-c", PROBE, str(site), asked]
    answer = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    return [
        f"{name} is pinned to {version}, and the library that is loaded says {answer[library]}"
        for library, (name, version) in wanted.items()
        if answer[library] != version_number(version)
    ]


def problems(root: Path, pins: Mapping[str, str]) -> list[str]:
    """Give everything that is wrong with an environment."""
    site = next((root / "lib").glob("python3.*/site-packages"))
    return damaged(distributions(path=[str(site)])) + wrong_libraries(root / "bin" / "python", site, pins)
