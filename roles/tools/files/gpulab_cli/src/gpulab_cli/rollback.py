# SPDX-License-Identifier: GPL-3.0-or-later
"""Subcommand `gpulab rollback`: switch an environment back to an earlier release."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from gpulab_cli import layout
from gpulab_cli.paths import ENVIRONMENTS

LOCK_SECONDS = 30.0
"""Time to wait for an installation that changes the same environment, in seconds."""


class Rollback:
    """The subcommand."""

    help = "switch an environment back to its previous release (root); without a name, list the releases"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("environment", nargs="?", help="name of the environment, such as ml")
        parser.add_argument("--to", help="the release to switch to (default: the one that was in use before)")

    def run(self, options: argparse.Namespace) -> int:
        """Switch the environment, or list the releases."""
        if not options.environment:
            sys.stdout.write(listing(ENVIRONMENTS))
            return 0
        root = ENVIRONMENTS / options.environment
        if not (root / "current").is_symlink():
            sys.stderr.write(f"gpulab rollback: {options.environment} is not an environment in {ENVIRONMENTS}\n")
            return 1
        release = roll_back(root, options.to)
        if not release:
            requested = f"release {options.to}" if options.to else "earlier release"
            sys.stderr.write(
                f"gpulab rollback: {options.environment} has no {requested}; `gpulab rollback` lists the releases\n"
            )
            return 1
        sys.stdout.write(
            f"{options.environment} now uses release {release.name}. Restart running kernels to use it, too. The next "
            "converge installs the locked release again.\n"
        )
        return 0


def listing(environments: Path) -> str:
    """Return one line for each complete release of each environment."""
    lines = []
    for current in sorted(environments.glob("*/current")):
        for release in layout.complete_releases(current.parent):
            mark = "in use" if current.resolve() == release.resolve() else ""
            lines.append(f"{current.parent.name:16} {release.name}  {packages(release):4} packages  {mark}\n")
    return "".join(lines)


def packages(release: Path) -> int:
    """Return the number of packages of a release."""
    return len(json.loads((release / layout.MARKER).read_text(encoding="utf-8"))["versions"])


def roll_back(root: Path, name: str | None) -> Path | None:
    """Switch to the named release, or to the one that was in use before, and return it; None if it does not exist."""
    with layout.locked(root, LOCK_SECONDS):
        current = (root / "current").resolve()
        releases = layout.complete_releases(root)
        candidates = [path for path in releases if path.resolve() != current and name in (None, path.name)]
        if not candidates:
            return None
        layout.switch(root, candidates[0].name)
        return candidates[0]
