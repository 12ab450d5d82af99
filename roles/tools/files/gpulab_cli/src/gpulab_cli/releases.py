"""Subcommand `gpulab rollback`: an environment goes back to the release before, in one step."""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
from pathlib import Path

from gpulab_cli.paths import ENVIRONMENTS

MARKER = ".gpulab-release.json"
REPLACED = ".gpulab-replaced"


class Rollback:
    """The subcommand."""

    help = "let an environment go back to its release before (root); without a name, list the releases"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("environment", nargs="?", help="name of the environment, as ml")
        parser.add_argument("--to", help="the release to go to (default: the one that was in use before)")

    def run(self, options: argparse.Namespace) -> int:
        """Do it, or list what there is."""
        if not options.environment:
            for directory in sorted(ENVIRONMENTS.glob("*/current")):
                for release in finished(directory.parent):
                    mark = "in use" if directory.resolve() == release.resolve() else ""
                    sys.stdout.write(
                        f"{directory.parent.name:16} {release.name}  {packages(release):4} packages  {mark}\n"
                    )
            return 0
        root = ENVIRONMENTS / options.environment
        if not (root / "current").is_symlink():
            sys.stderr.write(f"gpulab rollback: there is no environment {options.environment} in {ENVIRONMENTS}\n")
            return 1
        target = roll_back(root, options.to)
        if not target:
            wanted = f"release {options.to}" if options.to else "earlier release"
            sys.stderr.write(f"gpulab rollback: {options.environment} has no {wanted}; `gpulab rollback` lists them\n")
            return 1
        sys.stdout.write(
            f"{options.environment} is {target.name} now. Kernels that run keep what they have; restart them. "
            "The next converge installs what its lock says.\n"
        )
        return 0


def finished(root: Path) -> list[Path]:
    """Give the releases that are whole, the one that was in use last first."""
    whole = [path for path in (root / "releases").iterdir() if (path / MARKER).is_file()]
    return sorted(whole, key=lambda path: last_used(path, root), reverse=True)


def last_used(release: Path, root: Path) -> float:
    """Say until when a release was in use: now, until it was replaced, or never since it was made."""
    if (root / "current").resolve() == release.resolve():
        return float("inf")
    mark = release / REPLACED
    return (mark if mark.exists() else release / MARKER).stat().st_mtime


def packages(release: Path) -> int:
    """Count the packages of a release."""
    return len(json.loads((release / MARKER).read_text(encoding="utf-8"))["versions"])


def roll_back(root: Path, name: str | None) -> Path | None:
    """Let the link point at another release, in one step that no reader sees half of; nothing where none is."""
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        current = (root / "current").resolve()
        others = [path for path in finished(root) if path.resolve() != current and name in (None, path.name)]
        if not others:
            return None
        fresh = root / ".current"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(Path("releases") / others[0].name)
        (current / REPLACED).touch()
        fresh.replace(root / "current")
        return others[0]
