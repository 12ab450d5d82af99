# SPDX-License-Identifier: GPL-3.0-or-later
"""The program gpulab: subcommands are added by entry points."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Protocol, cast

GROUP = "gpulab.commands"


class Command(Protocol):
    """A subcommand: the class that an entry point of the group names."""

    help: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""

    def run(self, options: argparse.Namespace) -> int:
        """Run the subcommand and return the exit code."""


def installed_commands() -> dict[str, Command]:
    """Return the installed subcommands by name."""
    return {point.name: cast(Command, point.load()()) for point in entry_points(group=GROUP)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="gpulab", description="Show what this host offers, and help to use it.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands = installed_commands()
    for name, command in sorted(commands.items()):
        command.arguments(subparsers.add_parser(name, help=command.help, description=command.help))
    options = parser.parse_args(arguments)
    try:
        return commands[options.command].run(options)
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"gpulab {options.command}: {error}", file=sys.stderr)  # noqa: T201
        return 1
