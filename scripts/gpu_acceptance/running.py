# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes with a time limit, as another user where requested."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).resolve().parent / "programs"
"""Programs that compute; each prints one line of JSON."""
DROPPED = (
    *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "LD_PRELOAD", "PYTHONPATH", "PYTHONHOME"),
    *(
        "PYTORCH_CUDA_ALLOC_CONF",
        "PYTORCH_ALLOC_CONF",
        "XLA_PYTHON_CLIENT_MEM_FRACTION",
        "TF_PER_DEVICE_MEMORY_LIMIT_MB",
    ),
)
"""Variables of the caller that programs must not see: they select devices, packages and limits."""
SLICE = 1.0
"""Seconds of one wait: a signal that arrives just before a wait is handled only after it."""
GRACE = 10.0
"""Seconds that a killed process may take to be gone; one that hangs in the driver is reported."""


class StepError(Exception):
    """A step could not be done; the message says why, in words for the report."""


class UnsupportedError(StepError):
    """The host, the driver or the GPU does not offer what the step needs; that is a result, not a fault."""


class SkippedError(StepError):
    """A step has nothing to run on."""


class User:
    """The user that a program runs as: by number, so that no account is needed."""

    def __init__(self, uid: int, gid: int, groups: Sequence[int] = ()) -> None:
        self.uid, self.gid, self.groups = uid, gid, list(groups)

    def options(self) -> dict[str, Any]:
        """Return the options of subprocess."""
        return {"user": self.uid, "group": self.gid, "extra_groups": self.groups}


class Child:
    """A program with text pipes; every wait for it has a time limit, and it is killed at the end of its block."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str] | None = None, user: User | None = None) -> None:
        pipe = subprocess.PIPE
        options = user.options() if user else {}
        self.name = Path(argv[1] if len(argv) > 1 else argv[0]).name
        try:
            self.process = subprocess.Popen(
                list(argv), stdin=pipe, stdout=pipe, stderr=pipe, env=env, cwd="/", start_new_session=True, **options
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise StepError(f"{argv[0]} could not be started: {error}") from error
        self.rest = b""

    def __enter__(self) -> Child:
        """Begin the block."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """End the block, and the process with it."""
        self.kill()

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def kill(self) -> None:
        """End the process and everything that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.communicate(timeout=GRACE)

    def send(self, text: str = "\n") -> None:
        """Write to the program's standard input."""
        assert self.process.stdin
        try:
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()
        except OSError as error:
            raise StepError(f"{self.name} ended early: {self.errors() or error}") from error

    def end_input(self) -> None:
        """Close the program's standard input."""
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
            self.process.stdin = None

    def line(self, limit: float) -> str:
        """Return the next line of the program's output; raise StepError when it ends or prints nothing in time."""
        assert self.process.stdout
        deadline = time.monotonic() + limit
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.rest:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise StepError(f"{self.name} printed nothing for {limit:.0f} s")
                if not selector.select(min(SLICE, left)):
                    continue
                block = os.read(self.process.stdout.fileno(), 65536)
                if not block:
                    raise StepError(f"{self.name} ended early: {self.errors() or 'it printed no reason'}")
                self.rest += block
        line, _, self.rest = self.rest.partition(b"\n")
        return line.decode(errors="replace").strip()

    def json(self, limit: float) -> dict[str, Any]:
        """Return the next line of the program's output that is a mapping in JSON."""
        deadline = time.monotonic() + limit
        while True:
            line = self.line(max(0.1, deadline - time.monotonic()))
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                if isinstance(value, dict):
                    return value

    def errors(self) -> str:
        """Return the last line that an ended program printed as its error."""
        try:
            _, errors = self.process.communicate(timeout=GRACE)
        except (subprocess.TimeoutExpired, ValueError):
            return ""
        return last_line(errors.decode(errors="replace"))


def last_line(text: str) -> str:
    """Return the last line that is not empty, at most 300 characters of it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def run(
    argv: Sequence[str],
    limit: float,
    env: Mapping[str, str] | None = None,
    user: User | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; raise StepError when it cannot be started or does not end within `limit` seconds."""
    with Child(argv, env, user) as child:
        return finished(child, argv, limit)


def finished(child: Child, argv: Sequence[str], limit: float) -> subprocess.CompletedProcess[str]:
    """Return the exit code and the output of a program that ends within `limit` seconds; raise StepError otherwise."""
    deadline = time.monotonic() + limit
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise StepError(f"{child.name} did not end within {limit:.0f} s and was stopped")
        with contextlib.suppress(subprocess.TimeoutExpired):
            output, errors = child.process.communicate(timeout=min(SLICE, left))
            break
    texts = (output.decode(errors="replace"), errors.decode(errors="replace"))
    return subprocess.CompletedProcess(list(argv), child.process.returncode, *texts)


def result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the mapping in JSON in the last line of a program's output; raise StepError with its error otherwise."""
    if done.returncode == 0:
        with contextlib.suppress(ValueError):
            value = json.loads(last_line_whole(done.stdout))
            if isinstance(value, dict):
                return value
    name = Path(done.args[1] if len(done.args) > 1 else done.args[0]).name
    ended = f"was ended by signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    raise StepError(f"{name}: {last_line(done.stderr) or last_line(done.stdout) or 'it printed nothing'} ({ended})")


def last_line_whole(text: str) -> str:
    """Return the last line that is not empty, all of it."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def clean_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of the programs: nothing of the caller's that selects devices, caches below `home`."""
    values = {name: value for name, value in os.environ.items() if name not in DROPPED}
    own = str(home)
    values.update(
        HOME=own, TMPDIR=own, XDG_CACHE_HOME=own, CUDA_CACHE_PATH=f"{own}/cuda", USER="prove", LOGNAME="prove"
    )
    values.update(PYTHONDONTWRITEBYTECODE="1", TF_CPP_MIN_LOG_LEVEL="2", TF_FORCE_GPU_ALLOW_GROWTH="true")
    values.update(XLA_PYTHON_CLIENT_PREALLOCATE="false")
    values.update(extra or {})
    return values


def program(python: str, name: str, *arguments: str) -> list[str]:
    """Return the command of one of the programs."""
    return [python or sys.executable, str(PROGRAMS / name), *arguments]
