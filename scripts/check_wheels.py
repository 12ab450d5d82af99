# SPDX-License-Identifier: GPL-3.0-or-later
"""Find files that several wheels of a lock contain with different content, from the wheels' tables of contents.

Installers do not notice when a file of one wheel overwrites another's; the imports work, and the wrong library is used.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import requests
import tomllib
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename
from remotezip import RemoteZip

from tests.support.paths import ROOT

LOCKS = ROOT / "roles" / "frameworks" / "files" / "locks"
GLIBC = range(28, 4, -1)
"""Versions of the C library whose wheels the hosts can use, newest first: the locks are for glibc 2.28 and newer."""


@dataclass(frozen=True)
class Entry:
    """One file of a wheel: its installed path, and a checksum of its content."""

    path: str
    crc: int
    size: int


def installed_path(name: str) -> str:
    """Return the installed path of a member of a wheel (Binary distribution format, "the .data directory")."""
    match = re.match(r"[^/]+\.data/(purelib|platlib|scripts|data|headers)/(.*)", name)
    if not match:
        return f"site-packages/{name}"
    directories = {"purelib": "site-packages/", "platlib": "site-packages/", "scripts": "bin/", "headers": "include/"}
    return directories.get(match[1], "") + match[2]


def entries(archive: zipfile.ZipFile) -> list[Entry]:
    """Return the files of a wheel."""
    members = (member for member in archive.infolist() if not member.is_dir())
    return [Entry(installed_path(member.filename), member.CRC, member.file_size) for member in members]


def collisions(wheels: Mapping[str, Iterable[Entry]]) -> dict[str, list[str]]:
    """Return the paths that several wheels fill with different content, and these wheels."""
    holders: dict[str, dict[tuple[int, int], list[str]]] = defaultdict(lambda: defaultdict(list))
    for wheel, files in wheels.items():
        for entry in files:
            holders[entry.path][entry.crc, entry.size].append(wheel)
    return {
        path: sorted(wheel for group in contents.values() for wheel in group)
        for path, contents in sorted(holders.items())
        if len(contents) > 1
    }


def without_local_versions(lock: str) -> tuple[str, list[str]]:
    """Split a lock into packages of the default index and those of a vendor's own index (PyTorch's +cpu builds)."""
    parts = re.split(r"\n(?=[A-Za-z0-9])", lock.strip())
    kept = [part for part in parts if "+" not in part.split()[0]]
    return "\n".join(kept) + "\n", [part.split()[0] for part in parts if part not in kept]


def best_wheel(package: Mapping[str, Any], python: str) -> str:
    """Return the address of the wheel that an installer would choose; empty for a source package."""
    version = [int(part) for part in python.split(".")]
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in GLIBC] + ["manylinux2014_x86_64", "manylinux2010_x86_64"]
    platforms += ["manylinux1_x86_64", "linux_x86_64"]
    tags = [*cpython_tags(version, platforms=platforms), *compatible_tags(version, platforms=platforms)]
    ranks = {tag: rank for rank, tag in enumerate(tags)}
    usable = []
    for wheel in package.get("wheels", []):
        fits = parse_wheel_filename(wheel["url"].rpartition("/")[2].replace("%2B", "+"))[3]
        if matching := [ranks[tag] for tag in fits if tag in ranks]:
            usable.append((min(matching), wheel["url"]))
    return str(min(usable)[1]) if usable else ""


def addresses(lock: str, python: str) -> list[str]:
    """Return the addresses of the wheels of a lock, which uv resolves at the index."""
    with tempfile.TemporaryDirectory() as directory:
        requirements, result = Path(directory) / "lock.txt", Path(directory) / "pylock.toml"
        requirements.write_text(lock, encoding="utf-8")
        argv = ["uv", "pip", "compile", "--quiet", "--no-deps", "--no-header", "--python-version", python]
        argv += ["--python-platform", "x86_64-manylinux_2_28", "--output-file", str(result), str(requirements)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise SystemExit(f"check_wheels: uv could not find the wheels:\n{done.stderr}")
        packages = tomllib.loads(result.read_text(encoding="utf-8"))["packages"]
    return [url for package in packages if (url := best_wheel(package, python))]


@cache
def table_of_contents(url: str) -> tuple[Entry, ...]:
    """Read the last kilobytes of a wheel on its server: the table of contents of a zip archive is at its end."""
    with RemoteZip(url, session=requests.Session(), timeout=60) as archive:
        return tuple(entries(archive))


def check(lock: Path, python: str, *extras: Path) -> tuple[int, list[str], dict[str, list[str]]]:
    """Compare all wheels of one or several locks; return their number, the packages left out, and the collisions."""
    whole = "\n".join(path.read_text(encoding="utf-8").strip() for path in [lock, *extras])
    text, left_out = without_local_versions(whole)
    urls = addresses(text, python)
    with ThreadPoolExecutor(max_workers=16) as pool:
        tables = list(pool.map(table_of_contents, urls))
    names = [url.rpartition("/")[2] for url in urls]
    return len(urls), left_out, collisions(dict(zip(names, tables, strict=True)))


def python_of(lock: Path) -> str:
    """Return the Python version at the end of a lock's name; 3.12 where there is none."""
    match = re.search(r"-py3(\d+)$", lock.stem)
    return f"3.{match[1]}" if match else "3.12"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lock", nargs="*", type=Path, default=sorted(LOCKS.glob("*-py3*.txt")), help="lock file")
    collided = False
    for lock in parser.parse_args().lock:
        count, left_out, bad = check(lock, python_of(lock))
        skipped = f", skipped: {', '.join(left_out)}" if left_out else ""
        sys.stdout.write(f"{lock.name}: {count} wheels, {len(bad)} files with two contents{skipped}\n")
        for path, wheels in bad.items():
            sys.stdout.write(f"  {path}: {', '.join(wheels)}\n")
        collided = collided or bool(bad)
    return 1 if collided else 0


if __name__ == "__main__":
    sys.exit(main())
