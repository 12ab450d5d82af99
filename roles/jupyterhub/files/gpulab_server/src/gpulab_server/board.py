# SPDX-License-Identifier: GPL-3.0-or-later
"""Serve TensorBoard, which supports TCP only, on a unix socket: python board.py --socket PATH --directory LOGS."""

from __future__ import annotations

import argparse
import sys
import threading
from typing import Any


def main() -> int:
    """Run until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--directory", required=True)
    options = parser.parse_args()
    # Imports come from the users' environment: packages next to this file belong to the server's environment.
    sys.path.pop(0)
    from tensorboard import default, program
    from werkzeug.serving import make_server

    class OnSocket:
        """WSGI server with the interface that TensorBoard expects."""

        def __init__(self, application: Any, flags: Any) -> None:  # noqa: ARG002  # TensorBoard's own signature
            self.server = make_server(f"unix://{options.socket}", 0, application, threaded=True)

        def serve_forever(self) -> None:
            """Serve requests until the process ends."""
            self.server.serve_forever()

        def get_url(self) -> str:
            """Return the address of the socket."""
            return f"unix://{options.socket}"

        def print_serving_message(self) -> None:
            """Print nothing."""

    board = program.TensorBoard(default.get_plugins(), server_class=OnSocket)
    # The faster loader would listen on a TCP port that all users of the host can reach.
    board.configure(argv=["board", "--logdir", options.directory, "--load_fast", "false"])
    # Not main(), which records a port for other programs.
    board.launch()
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
