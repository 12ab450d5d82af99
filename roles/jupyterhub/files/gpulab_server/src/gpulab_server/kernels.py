"""Kernels to compute in: the host's and a user's own, never the server's; and one that computes is not idle."""

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
from gpulab_server.directories import peoples


class UsersKernels(KernelSpecManager):  # type: ignore[misc]
    """The server's environment is root's and read-only: a kernel in it would only look like a choice."""

    @default("ensure_native_kernel")  # type: ignore[untyped-decorator]
    def _no_native_kernel(self) -> bool:
        return False

    @default("kernel_dirs")  # type: ignore[untyped-decorator]
    def _kernel_dirs_default(self) -> list[str]:
        # The hub keeps a server from reading its user's home (disable_user_config), where kernels of one's own are.
        own = str(Path(jupyter_data_dir()) / "kernels")
        return peoples(dict.fromkeys([own, *super()._kernel_dirs_default()]), sys.prefix)

    def get_kernel_spec(self, kernel_name: str) -> Any:
        """Return a kernel whose start reads no code from the directory of the notebook."""
        spec = super().get_kernel_spec(kernel_name)
        spec.argv, spec.env = specs.command(spec.argv), specs.environment(spec.argv, spec.env)
        return spec


class WorkingKernels(AsyncMappingKernelManager):  # type: ignore[misc]
    """A kernel that computes is activity, also when it prints nothing all night.

    Jupyter counts what a kernel sends. The hub's idle culler goes by that, and would end the server of a silent cell.
    """

    latest: datetime

    @property
    def last_kernel_activity(self) -> datetime:
        """Give the time at which a kernel last did something: now, while one computes."""
        kernels = (self.get_kernel(number) for number in self.list_kernel_ids())
        busy = any(getattr(kernel, "execution_state", None) == "busy" for kernel in kernels)
        return datetime.now(timezone.utc) if busy else self.latest

    @last_kernel_activity.setter
    def last_kernel_activity(self, when: datetime) -> None:
        self.latest = when
