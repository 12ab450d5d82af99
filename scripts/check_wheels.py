"""Read the tables of contents of the wheels of a lock, never the wheels: two that carry a file must agree on it.

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

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "roles" / "frameworks" / "files" / "locks"
GLIBC = range(28, 4, -1)
"""Versions of the C library whose wheels the hosts can use, newest first: the locks are for glibc 2.28 and newer."""


@dataclass(frozen=True)
class Entry:
    """One file of a wheel, as its table of contents says: where it goes, and a check sum of its content."""

    path: str
    crc: int
    size: int


def installed_path(name: str) -> str:
    """Say where an installer puts a member of a wheel (Binary distribution format, "the .data directory")."""
    found = re.match(r"[^/]+\.data/(purelib|platlib|scripts|data|headers)/(.*)", name)
    if not found:
        return f"site-packages/{name}"
    directories = {"purelib": "site-packages/", "platlib": "site-packages/", "scripts": "bin/", "headers": "include/"}
    return directories.get(found[1], "") + found[2]


def entries(archive: zipfile.ZipFile) -> list[Entry]:
    """Give the files of a wheel."""
    members = (member for member in archive.infolist() if not member.is_dir())
    return [Entry(installed_path(member.filename), member.CRC, member.file_size) for member in members]


def collisions(wheels: Mapping[str, Iterable[Entry]]) -> dict[str, list[str]]:
    """Give the paths that several wheels fill with different content, each with the wheels."""
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
    """Take out what only a vendor's own index has (PyTorch's +cpu builds); give the rest, and what was taken out."""
    parts = re.split(r"\n(?=[A-Za-z0-9])", lock.strip())
    kept = [part for part in parts if "+" not in part.split()[0]]
    return "\n".join(kept) + "\n", [part.split()[0] for part in parts if part not in kept]


def best_wheel(package: Mapping[str, Any], python: str) -> str:
    """Give the address of the wheel that an installer would take; nothing for a source package."""
    version = [int(part) for part in python.split(".")]
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in GLIBC] + ["manylinux2014_x86_64", "manylinux2010_x86_64"]
    platforms += ["manylinux1_x86_64", "linux_x86_64"]
    tags = [*cpython_tags(version, platforms=platforms), *compatible_tags(version, platforms=platforms)]
    ranks = {tag: rank for rank, tag in enumerate(tags)}
    usable = []
    for wheel in package.get("wheels", []):
        fits = parse_wheel_filename(wheel["url"].rpartition("/")[2].replace("%2B", "+"))[3]
        if known := [ranks[tag] for tag in fits if tag in ranks]:
            usable.append((min(known), wheel["url"]))
    return str(min(usable)[1]) if usable else ""


def addresses(lock: str, python: str) -> list[str]:
    """Ask the index where the wheels of a lock are; uv writes them down with their addresses."""
    with tempfile.TemporaryDirectory() as directory:
        given, written = Path(directory) / "lock.txt", Path(directory) / "pylock.toml"
        given.write_text(lock, encoding="utf-8")
        argv = ["uv", "pip", "compile", "--quiet", "--no-deps", "--no-header", "--python-version", python]
        argv += ["--python-platform", "x86_64-manylinux_2_28", "--output-file", str(written), str(given)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise SystemExit(f"check_wheels: uv could not find the wheels:\n{done.stderr}")
        packages = tomllib.loads(written.read_text(encoding="utf-8"))["packages"]
    return [url for package in packages if (url := best_wheel(package, python))]


@cache
def table_of_contents(url: str) -> tuple[Entry, ...]:
    """Read the last kilobytes of a wheel on its server: the table of contents of a zip archive is at its end."""
    with RemoteZip(url, session=requests.Session()) as archive:
        return tuple(entries(archive))


def check(lock: Path, python: str, *extras: Path) -> tuple[int, list[str], dict[str, list[str]]]:
    """Look into all wheels of a lock, and of others next to it; give how many, what was left out, and what collides."""
    whole = "\n".join(path.read_text(encoding="utf-8").strip() for path in [lock, *extras])
    text, left_out = without_local_versions(whole)
    urls = addresses(text, python)
    with ThreadPoolExecutor(max_workers=16) as pool:
        tables = list(pool.map(table_of_contents, urls))
    names = [url.rpartition("/")[2] for url in urls]
    return len(urls), left_out, collisions(dict(zip(names, tables, strict=True)))


def python_of(lock: Path) -> str:
    """Read the Python version that the name of a lock ends with; 3.12 where it names none."""
    found = re.search(r"-py3(\d+)$", lock.stem)
    return f"3.{found[1]}" if found else "3.12"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lock", nargs="*", type=Path, default=sorted(LOCKS.glob("*-py3*.txt")), help="lock file")
    found = False
    for lock in parser.parse_args().lock:
        count, left_out, bad = check(lock, python_of(lock))
        aside = f", left out: {', '.join(left_out)}" if left_out else ""
        sys.stdout.write(f"{lock.name}: {count} wheels, {len(bad)} files with two contents{aside}\n")
        for path, wheels in bad.items():
            sys.stdout.write(f"  {path}: {', '.join(wheels)}\n")
        found = found or bool(bad)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
