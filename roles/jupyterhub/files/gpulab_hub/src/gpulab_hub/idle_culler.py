# SPDX-License-Identifier: GPL-3.0-or-later
"""Run jupyterhub-idle-culler against the hub's unix socket, which the HTTP client of tornado does not support.

`python -m gpulab_hub.idle_culler SOCKET [options of jupyterhub-idle-culler]`
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from jupyterhub_idle_culler import IdleCuller
from tornado.netutil import Resolver


class SocketResolver(Resolver):  # type: ignore[misc]
    """Resolve every name to one unix socket."""

    def initialize(self, path: str) -> None:
        """Keep the path of the socket."""
        self.path = path

    async def resolve(self, host: str, port: int, family: Any = socket.AF_UNSPEC) -> list[tuple[int, Any]]:  # noqa: ARG002
        """Return the socket."""
        return [(socket.AF_UNIX, self.path)]


def main() -> None:
    """Run until killed."""
    path, *options = sys.argv[1:]
    # A global setting: the culler sets the options of its client itself.
    Resolver.configure(SocketResolver, path=path)
    IdleCuller.launch_instance(["--url=http://localhost/hub/api", *options])


if __name__ == "__main__":
    main()
