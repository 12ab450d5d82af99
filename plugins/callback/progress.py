# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Callback gpulab.core.progress."""

from __future__ import annotations

DOCUMENTATION = r"""
name: progress
type: aggregate
author: The gpulab team (@gpulab)
short_description: Signs of life during long tasks, and the time that each role took
description:
  - Prints a line every so often while a task runs, so that a long download does not look like a hang.
  - Prints the time of each role and the total at the end.
options:
  progress_interval:
    description: Seconds between two signs of life; 0 prints none.
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

import gc
import threading
import time
from collections import defaultdict
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader, test_loader

from ansible_collections.gpulab.core.plugins.plugin_utils import payloads


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Watch the time."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "gpulab.core.progress"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun = time.monotonic()
        self._seconds: dict[str, float] = defaultdict(float)
        self._task = ""
        self._role = ""
        self._task_begun = self._begun
        self._over = threading.Event()
        self._watch: threading.Thread | None = None

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Start to watch."""
        # Every task is worked on in a process of its own, forked from this one: what is loaded here is loaded once.
        for loader in (filter_loader, test_loader):
            list(loader.all())
        payloads.begin()
        # What is in memory by now stays: a collection in a forked process would only copy it (gc, freeze).
        gc.freeze()
        interval = int(self.get_option("progress_interval"))
        if interval > 0:
            self._watch = threading.Thread(target=self._show_life, args=(interval,), daemon=True)
            self._watch.start()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Close the account of the task before, open one for this."""
        self._close()
        # pylint: disable=protected-access  # the only way to a task's role, used by Ansible's own callbacks too
        self._role = task._role.get_name() if task._role else "(checks and locks)"
        self._task = task.get_name()

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Count a handler's time as its role's."""
        self.v2_playbook_on_task_start(task, is_conditional=False)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Print where the time went."""
        self._close()
        self._over.set()
        self._display.banner("TIME")
        for role, seconds in sorted(self._seconds.items(), key=lambda entry: -entry[1]):
            self._display.display(f"{seconds:7.1f} s  {role}")
        self._display.display(f"{time.monotonic() - self._begun:7.1f} s  total")

    def _close(self) -> None:
        now = time.monotonic()
        if self._task:
            self._seconds[self._role.removeprefix("gpulab.core.")] += now - self._task_begun
        self._task, self._task_begun = "", now

    def _show_life(self, interval: int) -> None:
        while not self._over.wait(1):
            seconds = time.monotonic() - self._task_begun
            if self._task and int(seconds) and int(seconds) % interval == 0:
                self._display.display(f"    ... {int(seconds)} s in: {self._task}")
