# SPDX-License-Identifier: GPL-3.0-or-later
"""Subcommand `gpulab top`: who holds which GPU, since when, until when, and who waits."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from gpulab_cli import broker


class Top:
    """The subcommand."""

    help = "show who holds which GPU, since when, until when, and who waits"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print JSON")

    def run(self, options: argparse.Namespace) -> int:
        """Print the state of the GPUs."""
        state = broker.call("GET", "/v1/state")
        sys.stdout.write(json.dumps(state, indent=1) + "\n" if options.json else table(state))
        return 0


def table(state: dict[str, Any]) -> str:
    """Return the state as lines for a terminal."""
    policy = state["policy"]
    lines = [f"policy {policy['name']}, {policy['slots']} slots for each GPU"]
    if state["open_until"]:
        lines.append(f"all users may open all GPUs until {broker.clock_time(state['open_until'])}")
    for gpu in state["gpus"]:
        condition = (
            f"out of service: {gpu['problem']}" if gpu["problem"] else f"{gpu['free']} of {gpu['slots']} slots free"
        )
        lines.append(f"GPU {gpu['index']}  {gpu['name']}  {condition}")
        grants = [grant for grant in state["grants"] if gpu["uuid"] in [held["uuid"] for held in grant["gpus"]]]
        lines += [f"    {holder(grant)}" for grant in grants]
    if state["waiting"]:
        lines.append("waiting:")
        lines += [
            f"    {entry['user']:16} {entry['count']} {'whole ' if entry['whole'] else ''}GPUs, {broker.place(entry)}"
            for entry in state["waiting"]
        ]
    return "\n".join(lines) + "\n"


def holder(grant: dict[str, Any]) -> str:
    """Return one grant of a GPU."""
    times = f"since {broker.clock_time(grant['since'])}, until {broker.clock_time(grant['until'])}"
    whole = ", whole" if grant["whole"] else ""
    taken = "" if grant["confirmed"] else ", not taken yet"
    note = f"  ({grant['note']})" if grant["note"] else ""
    return f"{grant['user']:16} {times}{whole}{taken}, {', '.join(grant['doors'])}{note}"


def login_line(state: dict[str, Any]) -> str:
    """Return one line about the GPUs for a user who logs in."""
    own = [grant for grant in state["grants"] if grant["user"] == state["you"]]
    held = [f"GPU {gpu['index']} until {broker.clock_time(grant['until'])}" for grant in own for gpu in grant["gpus"]]
    free = sum(gpu["free"] for gpu in state["gpus"])
    slots = sum(gpu["slots"] for gpu in state["gpus"] if not gpu["problem"])
    waiting = f", {len(state['waiting'])} requests wait" if state["waiting"] else ""
    return f"you hold {', '.join(held) or 'none'}; {free} of {slots} slots are free{waiting} (gpulab top, gpulab gpu)"
