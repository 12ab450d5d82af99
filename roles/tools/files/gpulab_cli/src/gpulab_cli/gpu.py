# SPDX-License-Identifier: GPL-3.0-or-later
"""Subcommand `gpulab gpu`: request, hold and release GPUs."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpulab_cli import broker

BROKER = Path("/opt/gpulab/gpud/current/bin/gpulab-gpud")
OPEN_SECONDS = 60
DOOR = "ssh"


class Gpu:
    """The subcommand."""

    help = "request, wait for, extend and release GPUs of this host"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listing = actions.add_parser("list", help="show what you hold and what you wait for")
        listing.add_argument("--json", action="store_true", help="print JSON")
        requesting = actions.add_parser("request", help="request GPUs for all your sessions; does not wait")
        add_order(requesting)
        requesting.add_argument("--wait", action="store_true", help="wait until they are granted")
        waiting = actions.add_parser("wait", help="wait until a request is granted, and take the turn")
        waiting.add_argument("id", type=int, nargs="?", help="number of the request (default: your only one)")
        releasing = actions.add_parser("release", help="release GPUs; programs that still use them are ended")
        releasing.add_argument("id", type=int, nargs="?", help="number of the request (default: your only one)")
        extending = actions.add_parser("extend", help="hold GPUs longer, while no other user waits")
        extending.add_argument("id", type=int, nargs="?", help="number of the request (default: your only one)")
        extending.add_argument("--time", type=duration, help="time from now, such as 2h (default: the longest)")
        adopting = actions.add_parser("adopt", help="request a GPU that is released when a process of yours ends")
        adopting.add_argument("pid", type=int, help="number of the process")
        add_order(adopting)
        opening = actions.add_parser("open-all", help="let all users open all GPUs for a time (root; for emergencies)")
        opening.add_argument(
            "--for", dest="time", type=duration, required=True, help="for how long, such as 2h; 0s ends it"
        )

    def run(self, options: argparse.Namespace) -> int:
        """Run the action."""
        actions: dict[str, Callable[[argparse.Namespace], str]] = {
            "list": show,
            "request": request,
            "wait": wait,
            "release": release,
            "extend": extend,
            "adopt": adopt,
            "open-all": open_all,
        }
        sys.stdout.write(actions[options.action](options) + "\n")
        return 0


def add_order(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a request."""
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help="number of GPUs (1)")
    parser.add_argument("--whole", action="store_true", help="whole GPUs, without other users on them")
    parser.add_argument("--time", type=duration, help="time that you need, such as 2h (default: the longest)")
    parser.add_argument("--note", default="", help="a note that all users see")


def order(options: argparse.Namespace, **further: Any) -> dict[str, Any]:
    """Return the body of a request."""
    body = {"gpus": options.gpus, "whole": options.whole, "note": options.note, **further}
    return body if options.time is None else {**body, "seconds": options.time}


def duration(text: str) -> float:
    """Return the seconds of a time on the command line."""
    try:
        return broker.duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def show(options: argparse.Namespace) -> str:
    """Return what the user holds and waits for."""
    entries = own(broker.call("GET", "/v1/state"))
    if options.json:
        return json.dumps(entries, indent=1)
    return "\n".join(map(sentence, entries)) or "You hold no GPU and wait for none. `gpulab gpu request` requests one."


def request(options: argparse.Namespace) -> str:
    """Request GPUs that all sessions of the user share."""
    result = broker.call("POST", "/v1/requests", order(options, door=DOOR))
    if options.wait:
        result = broker.wait(result, report)
    return sentence(result)


def wait(options: argparse.Namespace) -> str:
    """Wait for a request."""
    return sentence(broker.wait(broker.call("GET", f"/v1/requests/{chosen(options)}"), report))


def release(options: argparse.Namespace) -> str:
    """Release a request."""
    number = chosen(options)
    broker.call("DELETE", f"/v1/requests/{number}")
    return f"request {number} is released"


def extend(options: argparse.Namespace) -> str:
    """Extend a grant."""
    body = {} if options.time is None else {"seconds": options.time}
    return sentence(broker.call("POST", f"/v1/requests/{chosen(options)}/extend", body))


def adopt(options: argparse.Namespace) -> str:
    """Request a GPU for a process that runs already."""
    door = f"process {options.pid}"
    return sentence(broker.call("POST", "/v1/requests", order(options, door=door, shared=False, pid=options.pid)))


def open_all(options: argparse.Namespace) -> str:
    """Open all GPUs to all users, through the broker or without it."""
    if os.getuid() != 0:
        raise broker.BrokerError("only root may open all GPUs to all users.")
    try:
        broker.call("POST", "/v1/open", {"seconds": options.time})
    except broker.NoBroker:
        argv = [str(BROKER), "open-all", "--seconds", str(options.time)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=OPEN_SECONDS)
        if done.returncode != 0:
            raise broker.BrokerError(done.stderr.strip()) from None
        if options.time:
            return "All users may open all GPUs, until the time is over and the broker runs again."
    return "All users may open all GPUs until the time is over." if options.time else "The GPUs are shared again."


def own(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the grants and requests of the user."""
    return [entry for entry in [*state["grants"], *state["waiting"]] if entry["user"] == state["you"]]


def chosen(options: argparse.Namespace) -> int:
    """Return the number on the command line, or that of the user's only request."""
    if options.id is not None:
        return int(options.id)
    entries = own(broker.call("GET", "/v1/state"))
    if len(entries) == 1:
        return int(entries[0]["id"])
    if not entries:
        raise broker.BrokerError("you hold no GPU and wait for none.")
    raise broker.BrokerError("you have several requests; name one:\n" + "\n".join(map(sentence, entries)))


def sentence(entry: dict[str, Any]) -> str:
    """Return a grant or a request as a sentence."""
    return broker.held(entry) if entry["status"] == "granted" else broker.place(entry)


def report(text: str) -> None:
    """Print a message that is not the result."""
    sys.stderr.write(f"gpulab: {text}\n")
    sys.stderr.flush()
