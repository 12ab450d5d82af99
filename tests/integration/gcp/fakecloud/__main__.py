# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the fake cloud as a process of its own: prints its port and the CA file, then serves until it is ended."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from pathlib import Path

from . import FakeCloud, make_world
from .tls import make_certificate


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=100)
    parser.add_argument("--projects", type=int, default=2)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds per request")
    parser.add_argument("--per-row", type=float, default=0.0, help="seconds per instance in an answer")
    arguments = parser.parse_args()
    world = make_world(arguments.instances, arguments.projects)
    with tempfile.TemporaryDirectory() as directory:
        context, trusted = make_certificate(Path(directory))
        with FakeCloud(world, context, arguments.latency, arguments.per_row, gate=False) as cloud:
            sys.stdout.write(
                json.dumps({"port": cloud.port, "ca": str(trusted), "projects": list(world.projects)}) + "\n"
            )
            sys.stdout.flush()
            threading.Event().wait()


main()
