# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes that always end: every wait has a time limit, a kill after it, and a message."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

GRACE = 10.0
"""Seconds that a process has to end by itself after it was told to; then it is killed."""


class TimeLimitExceeded(Exception):
    """A process did not end within its time limit and was stopped."""


class Child(subprocess.Popen[str]):
    """A process with text pipes that has ended when its `with` block is left: by itself, terminated, or killed.

    With `start_new_session=True`, what it has started ends with it.
    """

    def __init__(self, argv: Sequence[str], **options: Any) -> None:
        self.leads = bool(options.get("start_new_session"))
        super().__init__(argv, text=True, **options)

    def send(self, number: int) -> None:
        """Send a signal to the process, and to what it has started where it leads a session."""
        with contextlib.suppress(ProcessLookupError):
            if self.leads:
                os.killpg(self.pid, number)
            else:
                self.send_signal(number)

    def ended(self, seconds: float) -> bool:
        """Wait until the process ends; return whether it did so in time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(timeout=seconds)
            return True
        return False

    def stop(self) -> int:
        """Terminate the process, kill it after the grace period, and return its exit code."""
        if self.poll() is None:
            self.send(signal.SIGTERM)
            # What it has started may ignore the signal although the process itself ends.
            if not self.ended(GRACE) or self.leads:
                self.send(signal.SIGKILL)
        return self.wait(timeout=GRACE)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the pipes; give the process the grace period to end by itself, and stop it then."""
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        if kind is not None or not self.ended(GRACE):
            self.stop()


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    check: bool = False,
    capture: bool = True,
    text_input: str | None = None,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its exit code and output.

    `timeout` is in seconds. Raises TimeLimitExceeded when the program does not end in time, after everything that it
    has started was stopped; CalledProcessError when `check` is set and it fails. Without `capture`, its output is
    shown, and it stays in this terminal's session: Ctrl-C reaches it.
    """
    options: dict[str, Any] = {"cwd": cwd, "env": env, "start_new_session": capture}
    if capture:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if text_input is not None:
        options["stdin"] = subprocess.PIPE
    with Child(argv, **options) as child:
        try:
            output, errors = child.communicate(text_input, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            child.stop()
            raise TimeLimitExceeded(
                f"`{' '.join(argv)[:300]}` did not end within {timeout:.0f} s and was stopped. It had printed:\n"
                f"{last_words(error.output)}{last_words(error.stderr)}"
            ) from error
        except KeyboardInterrupt:
            # A program in this session got the signal from the terminal; one in its own session gets it from here.
            if child.leads:
                child.send(signal.SIGINT)
            child.ended(GRACE)
            raise
    done = subprocess.CompletedProcess(argv, child.returncode, output, errors)
    if check:
        done.check_returncode()
    return done


def last_words(output: bytes | str | None) -> str:
    """Return the end of what a stopped program has printed."""
    text = output.decode(errors="replace") if isinstance(output, bytes) else output or ""
    return text[-2000:]


@contextlib.contextmanager
def started(argv: Sequence[str], **options: Any) -> Iterator[Child]:
    """Run a program for the length of the block; it is stopped at the end."""
    with Child(argv, **options) as child:
        try:
            yield child
        finally:
            child.stop()
