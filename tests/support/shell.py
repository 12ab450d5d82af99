"""A user over SSH: real logins through sshd and PAM."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.expected import Expected
from tests.support.processes import Child, run

KEYS = "/etc/ssh/authorized_keys.d"


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
def admitted(host: Any, expected: Expected, name: str, key: Path) -> Iterator[Shell]:
    """Add a key to the requested ones of a user for the length of the block."""
    line = key.with_suffix(".pub").read_text(encoding="utf-8").strip()
    path = f"{KEYS}/{name}"
    host.check_output("mkdir -p %s && printf '%%s\\n' '# begin verify' %s '# end verify' >> %s", KEYS, line, path)
    try:
        yield Shell(expected.connection, name, key)
    finally:
        host.check_output("sed -i '/^# begin verify$/,/^# end verify$/d' %s && find %s -empty -delete", path, path)
