"""Subcommand `gpulab unpack`: unpack what was uploaded, whatever packed it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ENDINGS = (".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tgz", ".tbz2", ".txz", ".tar", ".zip", ".7z", ".rar")
SINGLE = (".gz", ".bz2", ".xz", ".zst")
"""Endings of one packed file, where no .tar stands before them."""


class Unpack:
    """The subcommand."""

    help = "unpack an archive (zip, tar, gz, bz2, xz, zst, 7z, rar) into a directory of its own"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("archive", type=Path)
        parser.add_argument(
            "--into", type=Path, help="the directory; next to the archive and named like it, unless given"
        )

    def run(self, options: argparse.Namespace) -> int:
        """Do it."""
        archive: Path = options.archive
        target: Path = options.into or target_of(archive)
        if not archive.is_file():
            sys.stderr.write(f"gpulab unpack: there is no file {archive}\n")
            return 1
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            sys.stderr.write(f"gpulab unpack: {target} is there and not empty: choose another directory with --into\n")
            return 1
        target.mkdir(parents=True, exist_ok=True)
        if unpack(archive, target):
            sys.stderr.write(f"gpulab unpack: {archive} could not be unpacked whole; what came out is in {target}\n")
            return 1
        sys.stdout.write(f"unpacked into {target}\n")
        return 0


def unpack(archive: Path, target: Path) -> int:
    """Unpack into a directory that is there; give the exit status."""
    ending = archive.suffix.lower()
    if ending in SINGLE and not archive.name.lower().endswith(ENDINGS):
        with (target / archive.stem).open("wb") as file:
            return subprocess.run(["bsdcat", str(archive)], stdout=file, check=False).returncode
    # bsdtar rejects members that would leave the directory (absolute names, "..", links out of it).
    argv = ["bsdtar", "--extract", "--file", str(archive), "--directory", str(target), "--no-same-owner"]
    return subprocess.run(argv, check=False).returncode


def target_of(archive: Path) -> Path:
    """Name the directory: the archive's name without its ending."""
    ending = next((each for each in ENDINGS if archive.name.lower().endswith(each)), archive.suffix)
    return archive.with_name(archive.name[: -len(ending)] if ending else f"{archive.name}-unpacked")
