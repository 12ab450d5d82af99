# SPDX-License-Identifier: GPL-3.0-or-later
"""Subcommand `gpulab run`: wait for GPUs, run a program on them, release them."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from gpulab_cli import broker
from gpulab_cli.gpu import add_order, order, report

DOOR = "run"


class Run:
    """The subcommand."""

    help = "wait for GPUs, run a program on them, and release them at its end"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        add_order(parser)
        parser.add_argument(
            "--detach", action="store_true", help="continue after you log out, with the output in a file"
        )
        parser.add_argument(
            "program", nargs=argparse.REMAINDER, metavar="-- PROGRAM ...", help="the program with its options"
        )

    def run(self, options: argparse.Namespace) -> int:
        """Run the program and return its exit code."""
        program = options.program[1:] if options.program[:1] == ["--"] else options.program
        if not program:
            sys.stderr.write("gpulab run: write the program after --, as in gpulab run --gpus 1 -- python train.py\n")
            return 2
        if options.detach:
            return detach(sys.argv)
        # The broker watches this process: whatever ends it releases the GPUs.
        request = broker.call("POST", "/v1/requests", order(options, door=DOOR, shared=False, watch=True))
        try:
            grant = broker.wait(request, report)
            report(broker.held(grant))
            code = run(program, {**os.environ, **environment(grant)})
            report_end(int(grant["id"]))
            return code
        finally:
            with contextlib.suppress(broker.BrokerError):
                broker.call("DELETE", f"/v1/requests/{request['id']}")


def environment(grant: dict[str, Any]) -> dict[str, str]:
    """Return the variables of a program that uses a grant."""
    return {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": ",".join(gpu["uuid"] for gpu in grant["gpus"]),
        "GPULAB_REQUEST": str(grant["id"]),
    }


def run(program: list[str], variables: dict[str, str]) -> int:
    """Run a program as a child, pass signals on, and return its exit code as a shell does."""
    try:
        child = subprocess.Popen(program, env=variables)
    except OSError as error:
        sys.stderr.write(f"gpulab run: {program[0]}: {error.strerror}\n")
        return 127

    def forward(number: int, frame: FrameType | None) -> None:
        del frame
        child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    # Ctrl-C reaches the child from the terminal.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # As long as the program computes: the user ends it, or the broker does when the grant ends.
    code = child.wait(timeout=None)
    return 128 - code if code < 0 else code


def report_end(number: int) -> None:
    """Report a grant that ended before the program."""
    with contextlib.suppress(broker.BrokerError):
        state = broker.call("GET", f"/v1/requests/{number}")
        if state["status"] == "over":
            report(f"request {number} is over: {state['reason']}")


def detach(argv: list[str]) -> int:
    """Start the same command in a session of its own, and report its process and its output."""
    log = Path.cwd() / time.strftime(f"gpulab-run-%Y%m%d-%H%M%S-{os.getpid()}.log")
    again = [word for index, word in enumerate(argv) if word != "--detach" or "--" in argv[:index]]
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as output:  # noqa: PTH123  # of a descriptor
        child = subprocess.Popen(again, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    sys.stdout.write(f"process {child.pid} waits and runs; its output is in {log}\n")
    return 0
