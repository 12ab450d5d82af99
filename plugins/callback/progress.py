# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callback gpulab.core.progress."""

from __future__ import annotations

DOCUMENTATION = r"""
name: progress
type: aggregate
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Progress of long tasks, and the time of each role
description:
  - Prints a line at an interval while a task runs, so that a long download is not taken for a hang.
  - Prints the time of each role and the total at the end.
options:
  progress_interval:
    description: Seconds between two lines; 0 prints none.
    type: int
    default: 15
    env:
      - name: GPULAB_PROGRESS_INTERVAL
    ini:
      - section: gpulab
        key: progress_interval
requirements:
  - Named in C(callbacks_enabled) of ansible.cfg.
"""

import threading
import time
from collections import defaultdict
from typing import Any

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Print progress while a task runs, and the times at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "gpulab.core.progress"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._started = time.monotonic()
        self._seconds: dict[str, float] = defaultdict(float)
        self._task = ""
        self._role = ""
        self._task_started = self._started
        self._finished = threading.Event()
        self._thread: threading.Thread | None = None

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Start the thread that prints progress."""
        interval = int(self.get_option("progress_interval"))
        if interval > 0:
            self._thread = threading.Thread(target=self._print_progress, args=(interval,), daemon=True)
            self._thread.start()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Add the time of the task before to its role, and start the clock of this one."""
        self._close()
        # pylint: disable=protected-access  # the only way to a task's role, used by Ansible's own callbacks too
        self._role = task._role.get_name() if task._role else "(playbook)"
        self._task = task.get_name()

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Add the time of a handler to its role."""
        self.v2_playbook_on_task_start(task, is_conditional=False)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Print the time of each role."""
        self._close()
        self._finished.set()
        self._display.banner("TIME")
        for role, seconds in sorted(self._seconds.items(), key=lambda entry: -entry[1]):
            self._display.display(f"{seconds:7.1f} s  {role}")
        self._display.display(f"{time.monotonic() - self._started:7.1f} s  total")

    def _close(self) -> None:
        now = time.monotonic()
        if self._task:
            self._seconds[self._role.removeprefix("gpulab.core.")] += now - self._task_started
        self._task, self._task_started = "", now

    def _print_progress(self, interval: int) -> None:
        while not self._finished.wait(1):
            seconds = time.monotonic() - self._task_started
            if self._task and int(seconds) and int(seconds) % interval == 0:
                self._display.display(f"    ... {int(seconds)} s: {self._task}")
