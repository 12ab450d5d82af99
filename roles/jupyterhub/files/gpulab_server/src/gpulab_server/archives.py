# SPDX-License-Identifier: GPL-3.0-or-later
"""jupyter-archive for a shared host: unpacks an archive into a directory of its own, by `gpulab unpack`.

Replaces the extension `jupyter_archive`, which it loads with changed handlers. The original unpacks into the directory
of the archive, hidden names included (in a home: .bashrc, .ssh), and does so when a link is opened.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import jupyter_archive
from jupyter_archive import handlers
from tornado import web

LIMIT = 1800
"""Time limit of unpacking in seconds."""
upstream_get = handlers.ExtractArchiveHandler.get


async def get(handler: Any, *arguments: Any, **options: Any) -> None:
    """Unpack for JupyterLab's own pages only: this GET changes files, and Jupyter allows links to send any GET."""
    token = handler.get_argument("_xsrf", None) or handler.request.headers.get("X-XSRFToken") or ""
    if not handler.token_authenticated and token.encode() != handler.xsrf_token:
        raise web.HTTPError(403, "A link cannot unpack archives. Right-click the archive in JupyterLab.")
    await upstream_get(handler, *arguments, **options)


def extract_archive(handler: Any, archive_path: Path) -> None:
    """Unpack an archive; raise HTTPError with the last line of the command's errors where it fails."""
    argv = ["gpulab", "unpack", str(archive_path.absolute())]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise web.HTTPError(400, f"{archive_path.name} was not unpacked within {LIMIT} seconds.") from None
    if done.returncode:
        handler.log.error("gpulab unpack: %s", done.stderr)
        lines = done.stderr.strip().splitlines()
        raise web.HTTPError(400, lines[-1] if lines else f"{archive_path.name} could not be unpacked.")


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "gpulab_server.archives"}]


def _load_jupyter_server_extension(app: Any) -> None:
    handlers.ExtractArchiveHandler.get = get
    handlers.ExtractArchiveHandler.extract_archive = extract_archive
    jupyter_archive._load_jupyter_server_extension(app)  # Jupyter's name for it
