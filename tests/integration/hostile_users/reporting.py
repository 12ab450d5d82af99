# SPDX-License-Identifier: GPL-3.0-or-later
"""Record the actions of a sequence, and report the sequence when something fails."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, Protocol

from tests.support.paths import ROOT

LOG = logging.getLogger("hostile")
FAILED = ROOT / "build" / "hostile" / "failed.py"


class Recorder(Protocol):
    """A state machine that records its actions."""

    failed: bool
    steps: list[str]


class Harm(BaseException):
    """Hostile users have done harm. hypothesis lets it pass and so does not repeat what changes the host."""


def reported(check: Callable[..., None]) -> Callable[..., None]:
    """Keep the sequence of actions when something fails, and raise Harm with it."""

    @functools.wraps(check)
    def run(self: Recorder, **arguments: Any) -> None:
        try:
            check(self, **arguments)
        except Exception as error:
            self.failed, script = True, "\n".join(self.steps)
            FAILED.parent.mkdir(parents=True, exist_ok=True)
            FAILED.write_text(script + "\n", encoding="utf-8")
            raise Harm(f"{type(error).__name__}: {error}\nThe sequence, also in {FAILED}:\n{script}") from error

    return run


def recorded(action: Callable[..., None]) -> Callable[..., None]:
    """Record an action before it happens."""

    @functools.wraps(action)
    def act(self: Recorder, **arguments: Any) -> None:
        shown = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        self.steps.append(f"state.{action.__name__}({shown})")
        LOG.info(self.steps[-1])
        action(self, **arguments)

    return reported(act)
