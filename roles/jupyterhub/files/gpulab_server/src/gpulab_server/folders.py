"""Where kernels are looked for: a pure function."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def peoples(folders: Iterable[str], server: str) -> list[str]:
    """Leave out the folders of the environment that the server itself runs in: people do not compute there."""
    own = Path(server).resolve()
    return [folder for folder in folders if own not in Path(folder).resolve().parents]
