"""One program, subcommands by entry point."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Protocol, cast

GROUP = "gpulab.commands"


class Command(Protocol):
    """What an entry point of the group gives: a class with these three."""

    help: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it; give the exit code."""


def commands() -> dict[str, Command]:
    """Find the subcommands that are installed."""
    return {point.name: cast(Command, point.load()()) for point in entry_points(group=GROUP)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give the exit code."""
    parser = argparse.ArgumentParser(prog="gpulab", description="What this host offers, and how to use it.")
    choices = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    found = commands()
    for name, command in sorted(found.items()):
        command.arguments(choices.add_parser(name, help=command.help, description=command.help))
    options = parser.parse_args(arguments)
    try:
        return found[options.command].run(options)
    except BrokenPipeError:
        return 0
    except OSError as error:
        print(f"gpulab {options.command}: {error}", file=sys.stderr)  # noqa: T201
        return 1
