"""Kernels to compute in: the host's and a person's own, and never the environment that the server runs in."""

from __future__ import annotations

import sys
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.paths import jupyter_data_dir
from traitlets import default

from gpulab_server.folders import peoples


class PeoplesKernels(KernelSpecManager):  # type: ignore[misc]
    """The server's environment is root's and read-only: a kernel in it would only look like a choice."""

    @default("ensure_native_kernel")  # type: ignore[untyped-decorator]
    def _no_native_kernel(self) -> bool:
        return False

    @default("kernel_dirs")  # type: ignore[untyped-decorator]
    def _kernel_dirs_default(self) -> list[str]:
        # The hub keeps a server from reading its person's home (disable_user_config), where kernels of one's own are.
        own = str(Path(jupyter_data_dir()) / "kernels")
        return peoples(dict.fromkeys([own, *super()._kernel_dirs_default()]), sys.prefix)
