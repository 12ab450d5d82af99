"""Programs behind the user's own server, each on a unix socket that nobody else can open."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

FOLDER = "tensorboard"
"""What users log into, in their homes."""


def tensorboard() -> dict[str, Any]:
    """Describe TensorBoard to jupyter-server-proxy."""
    return {"command": command, "unix_socket": True, "timeout": 120, "launcher_entry": {"title": "TensorBoard"}}


def command(unix_socket: str) -> list[str]:
    """Start it in the environment that users compute in, which has the version that belongs to its TensorFlow."""
    directory = Path.home() / FOLDER
    directory.mkdir(exist_ok=True)
    python = os.environ.get("RETICULATE_PYTHON", "python3")
    return [python, str(Path(__file__).with_name("board.py")), "--socket", unix_socket, "--directory", str(directory)]
