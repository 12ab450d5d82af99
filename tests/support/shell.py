# SPDX-License-Identifier: GPL-3.0-or-later
"""A user over SSH: real logins through sshd and PAM."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.expected import Expected
from tests.support.processes import Child, run

KEYS = "/etc/ssh/authorized_keys.d"
WATCHING = """
import select, sys
def ended():
    return bool(select.select([sys.stdin], [], [], 0)[0])
print("ready", flush=True)
"""
"""The beginning of a program that runs until the test ends it."""


class Shell:
    """A user who logs in over SSH with a key."""

    def __init__(self, connection: dict[str, Any], name: str, key: Path) -> None:
        self.name = name
        self.argv = ["ssh", "-o", "BatchMode=yes", "-o", "ControlPath=none", "-o", "LogLevel=ERROR"]
        self.argv += ["-p", str(connection["port"]), "-i", str(key), *connection["arguments"].split()]
        self.argv += [f"{name}@{connection['address']}"]

    def run(self, command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Log in, run a command as sshd hands it to the login shell, and log out."""
        return run([*self.argv, command], timeout=timeout)

    def python(self, code: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Log in and run a program of the host's own Python."""
        return self.run(f"/usr/bin/python3 -c {shlex.quote(code)}", timeout)

    def start(self, command: str) -> Child:
        """Log in and leave a command running; its standard input stays open until the caller closes it."""
        pipe = subprocess.PIPE
        return Child([*self.argv, command], stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT)

    @contextmanager
    def watching(self, code: str) -> Iterator[Callable[[], str]]:
        """Run a program of the host's own Python next to the block, which begins when the program runs.

        The program calls `ended()` to learn whether the test has ended it. The block gets a function that ends the
        program and returns its output.
        """
        # Not on the command line, which the program may read.
        program = WATCHING + code
        with self.start(f"exec /usr/bin/python3 -c 'import sys; exec(sys.stdin.read({len(program)}))'") as child:
            assert child.stdin
            assert child.stdout
            child.stdin.write(program)
            child.stdin.flush()
            first = child.stdout.readline()
            assert first == "ready\n", first
            try:
                yield lambda: child.communicate("end\n", timeout=60)[0].strip()
            finally:
                child.stop()


@contextmanager
def admitted(host: Any, expected: Expected, name: str, key: Path) -> Iterator[Shell]:
    """Add a key to the requested ones of a user for the length of the block."""
    line = key.with_suffix(".pub").read_text(encoding="utf-8").strip()
    path = f"{KEYS}/{name}"
    host.check_output("mkdir -p %s && printf '%%s\\n' '# begin verify' %s '# end verify' >> %s", KEYS, line, path)
    try:
        yield Shell(expected.connection, name, key)
    finally:
        host.check_output("sed -i '/^# begin verify$/,/^# end verify$/d' %s && find %s -empty -delete", path, path)
