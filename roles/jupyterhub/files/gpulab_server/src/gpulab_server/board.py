"""Serve TensorBoard, which knows TCP alone, on a unix socket: python board.py --socket PATH --directory LOGS."""

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
    # Found where users compute: what was installed next to this file belongs to another environment.
    sys.path.pop(0)
    from tensorboard import default, program
    from werkzeug.serving import make_server

    class OnSocket:
        """What TensorBoard takes for a server."""

        def __init__(self, application: Any, flags: Any) -> None:  # noqa: ARG002  # TensorBoard's own signature
            self.server = make_server(f"unix://{options.socket}", 0, application, threaded=True)

        def serve_forever(self) -> None:
            """Serve."""
            self.server.serve_forever()

        def get_url(self) -> str:
            """Say where; nobody asks."""
            return f"unix://{options.socket}"

        def print_serving_message(self) -> None:
            """Print nothing."""

    board = program.TensorBoard(default.get_plugins(), server_class=OnSocket)
    # Its faster loader would listen on a TCP port that everybody on the host reaches.
    board.configure(argv=["board", "--logdir", options.directory, "--load_fast", "false"])
    # Not main(), which writes down a port for other programs to find.
    board.launch()
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
