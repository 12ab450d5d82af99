# SPDX-License-Identifier: GPL-3.0-or-later
"""jupyterlab-git for a shared host: ignores repositories whose settings and hooks other users can change.

Replaces the extension `jupyterlab_git`, which it loads with changed handlers. Even `git status` runs programs that a
repository names, and JupyterLab calls it for every opened directory. Git's own check (safe.directory) covers the owner
only.
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
    """Answer like for a directory without a repository where other users can change what git would run."""
    await upstream_prepare(handler)
    path = handler.path_kwargs.get("path")
    if path is not None and (repository := changeable(Path(handler.url2localpath(path)).resolve(), os.getgid())):
        raise web.HTTPError(
            404, f"{repository} is ignored: other users can change what git runs there. Move it into your home."
        )


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "gpulab_server.git"}]


def _load_jupyter_server_extension(app: Any) -> None:
    handlers.GitHandler.prepare = prepare
    jupyterlab_git._load_jupyter_server_extension(app)  # Jupyter's name for it
