"""jupyterlab-git for a shared host: it leaves alone repositories whose settings and hooks others may change.

Loaded instead of the extension `jupyterlab_git`, which it loads when its handlers are guarded. Git runs programs that a
repository names, `git status` already does, and JupyterLab calls it for every directory that is opened. Git's own check
(safe.directory) is about the owner alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jupyterlab_git
from jupyterlab_git import handlers
from tornado import web

from gpulab_server.repositories import changeable

upstream_prepare = handlers.GitHandler.prepare


async def prepare(handler: Any) -> None:
    """Answer as for a directory without a repository where others may change what git would run."""
    await upstream_prepare(handler)
    path = handler.path_kwargs.get("path")
    if path is not None and (place := changeable(Path(handler.url2localpath(path)).resolve(), os.getgid())):
        raise web.HTTPError(
            404, f"{place} is left alone: others may change what git runs there. Move it into your home."
        )


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "gpulab_server.git"}]


def _load_jupyter_server_extension(app: Any) -> None:
    handlers.GitHandler.prepare = prepare
    jupyterlab_git._load_jupyter_server_extension(app)  # Jupyter's name for it
