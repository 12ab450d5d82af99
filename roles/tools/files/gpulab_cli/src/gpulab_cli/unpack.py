# SPDX-License-Identifier: GPL-3.0-or-later
"""Subcommand `gpulab unpack`: unpack an uploaded archive of any common format."""

from __future__ import annotations

import argparse
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


def target_of(archive: Path) -> Path:
    """Return the directory for an archive: the archive's path without its suffix."""
    suffix = next((suffix for suffix in SUFFIXES if archive.name.lower().endswith(suffix)), archive.suffix)
    return archive.with_name(archive.name[: -len(suffix)] if suffix else f"{archive.name}-unpacked")
