# SPDX-License-Identifier: GPL-3.0-or-later
"""Subcommand `gpulab unpack`: unpack an uploaded archive of any common format."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

SUFFIXES = (".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tgz", ".tbz2", ".txz", ".tar", ".zip", ".7z", ".rar")
SINGLE = (".gz", ".bz2", ".xz", ".zst")
"""Suffixes of one compressed file, unless .tar comes before them."""
SECONDS = 24 * 3600.0
"""Time limit for one archive, in seconds."""


class Unpack:
    """The subcommand."""

    help = "unpack an archive (zip, tar, gz, bz2, xz, zst, 7z, rar) into a directory of its own"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("archive", type=Path)
        parser.add_argument(
            "--into", type=Path, help="the directory (default: next to the archive, with the name of the archive)"
        )

    def run(self, options: argparse.Namespace) -> int:
        """Unpack the archive."""
        archive: Path = options.archive
        target: Path = options.into or target_of(archive)
        if not archive.is_file():
            sys.stderr.write(f"gpulab unpack: {archive} does not exist or is not a file\n")
            return 1
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            sys.stderr.write(f"gpulab unpack: {target} exists and is not empty: choose another directory with --into\n")
            return 1
        target.mkdir(parents=True, exist_ok=True)
        if unpack(archive, target):
            sys.stderr.write(f"gpulab unpack: {archive} is damaged or incomplete; {target} has its readable part\n")
            return 1
        encoding = "cp437" if archive.suffix.lower() == ".zip" else "latin-1"
        if renamed := repair_names(target, encoding):
            sys.stdout.write(
                f"{len(renamed)} names in {archive.name} are not UTF-8 and were read as {encoding}: check their "
                f"letters, as in {renamed[0]!r}\n"
            )
        sys.stdout.write(f"unpacked into {target}\n")
        return 0


def unpack(archive: Path, target: Path) -> int:
    """Unpack into an existing directory and return the exit status."""
    try:
        if archive.suffix.lower() in SINGLE and not archive.name.lower().endswith(SUFFIXES):
            with (target / archive.stem).open("wb") as file:
                argv = ["bsdcat", str(archive)]
                return subprocess.run(argv, stdout=file, check=False, timeout=SECONDS).returncode
        # bsdtar rejects members outside the directory (absolute names, "..", links to other directories).
        argv = ["bsdtar", "--extract", "--file", str(archive), "--directory", str(target), "--no-same-owner"]
        return subprocess.run(argv, check=False, timeout=SECONDS).returncode
    except subprocess.TimeoutExpired:
        return 1


def letters(name: str, encoding: str) -> str:
    """Return a name whose bytes are not UTF-8 with the letters of an encoding.

    Code page 437 has lines of boxes where code page 850, of Western European Windows, has capital letters with accents.
    """
    text = os.fsencode(name).decode(encoding)
    if encoding == "cp437" and any("\u2500" <= letter <= "\u259f" for letter in text):
        return os.fsencode(name).decode("cp850")
    return text


def repair_names(directory: Path, encoding: str) -> list[str]:
    """Rename files and directories whose names are not UTF-8, and return their new paths below the directory.

    Zip archives without the mark for UTF-8 have names in the code page of the system that made them (APPNOTE.TXT,
    appendix D); other programs cannot list a directory with such names. Existing files are never replaced.
    """
    renamed = []
    for parent, directories, files in os.walk(directory, topdown=False):
        for name in sorted(directories + files):
            try:
                name.encode("utf-8")
            except UnicodeEncodeError:
                new = Path(parent) / letters(name, encoding)
                while new.exists() or new.is_symlink():
                    new = new.with_name(f"{new.stem}-1{new.suffix}")
                (Path(parent) / name).rename(new)
                renamed.append(str(new.relative_to(directory)))
    return sorted(renamed)


def target_of(archive: Path) -> Path:
    """Return the directory for an archive: the archive's path without its suffix."""
    suffix = next((suffix for suffix in SUFFIXES if archive.name.lower().endswith(suffix)), archive.suffix)
    return archive.with_name(archive.name[: -len(suffix)] if suffix else f"{archive.name}-unpacked")
