# SPDX-License-Identifier: GPL-3.0-or-later
"""nbgitpuller's links for a shared host: a page that explains the link, with a button that follows it.

Replaces the extension `nbgitpuller`, and copies with its program. A GET changes nothing; pages run no script.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import jinja2
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

from gpulab_server.repositories import Link, LinkRejectedError, checked, opened

LIMIT = 600
"""Time limit of a copy in seconds."""
LINES = 20
"""Number of lines of git's output on the page."""
TEMPLATES = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True)
# Only https, also for redirects and submodules; no prompts, since there is no terminal.
GIT = {"GIT_ALLOW_PROTOCOL": "https", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "/bin/false"}


async def run(*argv: str, directory: str, limit: float) -> tuple[int, str]:
    """Run a program; return its exit status and output. After `limit` seconds it is killed (status 124)."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=directory,
        env={**os.environ, **GIT},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output = (await asyncio.wait_for(process.communicate(), limit))[0]
    except asyncio.TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), 10)
        return 124, f"It was stopped after {limit:.0f} seconds."
    return process.returncode or 0, output.decode(errors="replace")


async def is_clone(path: Path, repository: str) -> bool:
    """Return whether a directory, not a link, is a clone of a repository."""
    config = path / ".git" / "config"
    if path.is_symlink() or config.parent.is_symlink() or not config.is_file():
        return False
    argv = ("git", "config", "--file", str(config), "--get", "remote.origin.url")
    status, origin = await run(*argv, directory="/", limit=10)
    return status == 0 and origin.strip() == repository


class LinkHandler(JupyterHandler):  # type: ignore[misc]
    """Page of a link, and the action of its button."""

    running = asyncio.Lock()

    @property
    def content_security_policy(self) -> str:
        """Return a policy that allows no scripts, no frames and no forms to other sites."""
        return "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

    @web.authenticated  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Show the page of the link."""
        if checked_link := await self.link():
            link, update = checked_link
            self.page(200, link=link, update=update)

    @web.authenticated  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Copy the repository, or update the copy, then open the page."""
        if not (checked_link := await self.link()):
            return
        link = checked_link[0]
        if self.running.locked():
            self.page(409, message="Another repository is being copied. Try again when it is done.")
            return
        async with self.running:
            argv = (
                sys.executable,
                "-I",
                "-m",
                "nbgitpuller.pull",
                link.repository,
                link.branch,
                str(self.root / link.target),
            )
            status, output = await run(*argv, directory=str(self.root), limit=LIMIT)
        if status == 0:
            self.redirect(url_path_join(self.base_url, opened(link)))
        else:
            last = "\n".join(output.splitlines()[-LINES:])
            self.page(502, message=f"{link.repository} could not be copied.", output=last)

    @property
    def root(self) -> Path:
        """Return the directory that the server shows."""
        return Path(self.settings["server_root_dir"]).expanduser()

    async def link(self) -> tuple[Link, bool] | None:
        """Return the link and whether it updates a copy; send an error page and return None when it is rejected."""
        names = ("repo", "branch", "targetpath", "urlpath")
        try:
            link = checked(*(self.get_argument(name, "") for name in names))
            path = self.root / link.target
            exists = os.path.lexists(path)
            if exists and not await is_clone(path, link.repository):
                raise LinkRejectedError(
                    f"{link.target} exists and is not a clone of {link.repository}. Rename it, or change targetpath."
                )
        except LinkRejectedError as error:
            self.page(400, message=f"This link is not allowed: {error}")
            return None
        return link, exists

    def page(self, status: int, **values: Any) -> None:
        """Send the page with a status."""
        self.set_status(status)
        self.finish(
            TEMPLATES.get_template("link.html").render(
                action=url_path_join(self.base_url, "git-pull"), xsrf=self.xsrf_token.decode(), **values
            )
        )


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "gpulab_server.links"}]


def _load_jupyter_server_extension(app: Any) -> None:
    app.web_app.add_handlers(".*", [(url_path_join(app.web_app.settings["base_url"], "git-pull"), LinkHandler)])
