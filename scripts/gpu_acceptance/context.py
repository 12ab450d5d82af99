# SPDX-License-Identifier: GPL-3.0-or-later
"""What all checks of a run share: its options, its time limit, and what was read from the host before they began."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import running
from .driver import Driver
from .gpus import Reading
from .report import MOCK, NO_GPU, REAL
from .running import SkippedError, StepError, User


@dataclass(frozen=True)
class Environment:
    """A Python interpreter with its packages, and the lock that it was made from (empty without one)."""

    name: str
    python: str
    installed: Mapping[str, str] = field(default_factory=dict)
    locked: Mapping[str, str] = field(default_factory=dict)

    def version(self, *packages: str) -> str:
        """Return the version of the first of the packages that is installed, empty when none is."""
        return next((self.installed[name] for name in packages if name in self.installed), "")


@dataclass
class Context:
    """A run; `deadline` is a time of time.monotonic(), `scratch` a directory that is removed at the end."""

    deadline: float
    scratch: Path
    root: Path = Path("/")
    reading: Reading = field(default_factory=lambda: Reading("nothing"))
    driver: Driver = field(default_factory=Driver)
    environments: Sequence[Environment] = ()
    user: User | None = None
    park_gib: float = 10.0
    expected: int = 0
    plan: Sequence[str] = ()
    """Lines of the driver plan of the role nvidia_driver, where the caller has it."""
    broken: dict[tuple[str, str], str] = field(default_factory=dict)
    """Frameworks that do not compute on the GPUs, by package and environment, with the name of the failed check."""

    @property
    def working(self) -> int:
        """The number of GPUs that answer."""
        return sum(not gpu.error for gpu in self.reading.gpus)

    @property
    def present(self) -> bool:
        """Whether the host has a GPU or a driver, working or not."""
        return bool(self.driver.on_bus or self.driver.loaded or self.reading.gpus)

    @property
    def tier(self) -> int:
        """The tier that the host allows."""
        if self.reading.mock:
            return MOCK
        return REAL if self.present else NO_GPU

    @property
    def mig(self) -> bool:
        """Whether a GPU is partitioned: a process then sees one instance."""
        return any(gpu.mig for gpu in self.reading.gpus)

    def without_gpu(self) -> str:
        """Return why no check can use a GPU, empty when one can."""
        if self.reading.mock:
            return "the GPUs are those of a mock, which computes nothing"
        if not self.present:
            return "the host has no NVIDIA GPU"
        if self.driver.on_bus and not self.driver.loaded and not self.reading.gpus:
            return "no NVIDIA driver is loaded"
        return "" if self.working else "no GPU answers"

    def left(self, limit: float) -> float:
        """Return the time limit of a program: its own, or what is left of the run's when that is less."""
        left = self.deadline - time.monotonic()
        if left <= 1:
            raise StepError("the time limit of the run was reached")
        return min(limit, left)

    def program(self, name: str) -> str:
        """Return the path of one of the programs, which every user may read."""
        return str(self.scratch / "programs" / name)

    def home(self, user: User | None) -> Path:
        """Return the directory for what a program of a user writes; it is made where it is missing."""
        home = self.scratch / f"home-{user.uid if user else os.geteuid()}"
        if not home.exists():
            home.mkdir(mode=0o700)
            if user:
                os.chown(home, user.uid, user.gid)
        return home

    def run(
        self,
        python: str,
        name: str,
        *arguments: str,
        limit: float,
        env: Mapping[str, str] | None = None,
        user: User | None = None,
    ) -> dict[str, Any]:
        """Run one of the programs, by default as the user of the run, and return what it prints."""
        runner = user or self.user
        values = running.clean_environment(self.home(runner), env)
        return running.result(running.run([python, self.program(name), *arguments], self.left(limit), values, runner))

    def child(self, python: str, name: str, *arguments: str) -> running.Child:
        """Start one of the programs as the user of the run."""
        values = running.clean_environment(self.home(self.user))
        return running.Child([python, self.program(name), *arguments], values, self.user)

    def with_framework(self, title: str, *packages: str) -> Environment:
        """Return the first environment whose framework computes on the GPUs; raise SkippedError with the reason."""
        reason = self.without_gpu()
        if reason:
            raise SkippedError(reason)
        having = [each for each in self.environments if each.version(*packages)]
        failed = [self.broken[packages[0], each.name] for each in having if (packages[0], each.name) in self.broken]
        for each in having:
            if (packages[0], each.name) not in self.broken:
                return each
        raise SkippedError(
            f"{title} does not compute on the GPU: {failed[0]}" if failed else f"{title} is not installed"
        )
