"""Programs behind the person's own server, each on a unix socket that nobody else can open."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

FOLDER = "tensorboard"
"""What people log into, in their homes."""


def tensorboard() -> dict[str, Any]:
    """Describe TensorBoard to jupyter-server-proxy."""
    return {"command": command, "unix_socket": True, "timeout": 120, "launcher_entry": {"title": "TensorBoard"}}


def command(unix_socket: str) -> list[str]:
    """Start it in the environment that people compute in, which has the version that belongs to its TensorFlow."""
    folder = Path.home() / FOLDER
    folder.mkdir(exist_ok=True)
    python = os.environ.get("RETICULATE_PYTHON", "python3")
    return [python, str(Path(__file__).with_name("board.py")), "--socket", unix_socket, "--folder", str(folder)]
