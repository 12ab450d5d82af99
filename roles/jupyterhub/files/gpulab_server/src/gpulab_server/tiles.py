# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that the user's server starts and proxies, on unix sockets that only the user can open."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

LOG_DIRECTORY = "tensorboard"
"""Directory of TensorBoard's logs in the home."""


def tensorboard() -> dict[str, Any]:
    """Return the entry of TensorBoard for jupyter-server-proxy."""
    return {"command": command, "unix_socket": True, "timeout": 120, "launcher_entry": {"title": "TensorBoard"}}


def command(unix_socket: str) -> list[str]:
    """Return the command that starts TensorBoard in the users' environment, whose version fits its TensorFlow."""
    directory = Path.home() / LOG_DIRECTORY
    directory.mkdir(exist_ok=True)
    python = os.environ.get("RETICULATE_PYTHON", "python3")
    return [python, str(Path(__file__).with_name("board.py")), "--socket", unix_socket, "--directory", str(directory)]


def packages() -> dict[str, Any]:
    """Return the entry of the page about the user's own packages for jupyter-server-proxy."""
    return {
        "command": packages_command,
        "unix_socket": True,
        "timeout": 60,
        "launcher_entry": {"title": "Your packages", "category": "Other"},
    }


def packages_command(unix_socket: str) -> list[str]:
    """Return the command that serves the page, in the server's environment and isolated from the user's."""
    return [sys.executable, "-I", str(Path(__file__).with_name("packages_page.py")), "--socket", unix_socket]
