"""Where kernels are looked for: a pure function."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def peoples(directories: Iterable[str], server: str) -> list[str]:
    """Leave out the directories of the environment that the server itself runs in: users do not compute there."""
    own = Path(server).resolve()
    return [directory for directory in directories if own not in Path(directory).resolve().parents]
