# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels of the host and of the user, never of the server's environment; a computing kernel is not idle."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.paths import jupyter_data_dir
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from traitlets import default

from gpulab_server import specs
from gpulab_server.directories import users_kernel_directories


class UsersKernels(KernelSpecManager):  # type: ignore[misc]
    """Kernel specifications without the kernel of the server's own environment, which users cannot change."""

    @default("ensure_native_kernel")  # type: ignore[untyped-decorator]
    def _no_native_kernel(self) -> bool:
        return False

    @default("kernel_dirs")  # type: ignore[untyped-decorator]
    def _kernel_dirs_default(self) -> list[str]:
        # disable_user_config keeps the server from reading the user's home, which has the user's own kernels.
        own = str(Path(jupyter_data_dir()) / "kernels")
        return users_kernel_directories(dict.fromkeys([own, *super()._kernel_dirs_default()]), sys.prefix)

    def get_kernel_spec(self, kernel_name: str) -> Any:
        """Return a kernel specification whose start reads no code from the directory of the notebook."""
        spec = super().get_kernel_spec(kernel_name)
        spec.argv, spec.env = specs.command(spec.argv), specs.environment(spec.argv, spec.env)
        return spec


class WorkingKernels(AsyncMappingKernelManager):  # type: ignore[misc]
    """Kernel manager that counts a computing kernel as activity, also without output.

    Jupyter counts the messages of a kernel only, so the hub's idle culler would stop the server of a silent cell.
    """

    latest: datetime

    @property
    def last_kernel_activity(self) -> datetime:
        """Return the time of the last activity of a kernel: now, while one computes."""
        kernels = (self.get_kernel(number) for number in self.list_kernel_ids())
        busy = any(getattr(kernel, "execution_state", None) == "busy" for kernel in kernels)
        return datetime.now(timezone.utc) if busy else self.latest

    @last_kernel_activity.setter
    def last_kernel_activity(self, when: datetime) -> None:
        self.latest = when
