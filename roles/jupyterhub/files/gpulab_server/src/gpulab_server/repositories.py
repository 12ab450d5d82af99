# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of links to git repositories, and of repositories that other users can change."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

REPOSITORY = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._~+-]+)+/?")
NAME = re.compile(r"\w[\w. +-]{0,99}")
BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,199}")
PAGE = re.compile(r"(lab|tree|notebooks|edit|rstudio)(/.*)?")
"""Pages of the server that a link may open afterwards."""


class LinkRejectedError(Exception):
    """The link is not allowed; the message names the parameter and its allowed values."""


class Link(NamedTuple):
    """A checked link: the repository, its branch (empty: the default one), the new directory, the page to open."""

    repository: str
    branch: str
    target: str
    page: str


def checked(repository: str, branch: str = "", target: str = "", page: str = "") -> Link:
    """Return a link with defaults for empty parts; raise LinkRejectedError where a part is not allowed."""
    if not REPOSITORY.fullmatch(repository):
        raise LinkRejectedError("repo must be an address like https://example.org/NAME/REPOSITORY, without a password.")
    if branch and (not BRANCH.fullmatch(branch) or ".." in branch or branch.endswith(("/", ".", ".lock"))):
        raise LinkRejectedError("branch must be the plain name of a branch or tag.")
    target = target or repository.rstrip("/").rpartition("/")[2]
    if not NAME.fullmatch(target):
        raise LinkRejectedError("targetpath must be the plain name of one directory, which is not hidden.")
    page = page or f"lab/tree/{target}"
    if not PAGE.fullmatch(page) or ".." in page.split("/") or "//" in page or not page.isprintable():
        raise LinkRejectedError("urlpath must be a page of your server, such as lab/tree/NAME/FILE.ipynb.")
    return Link(repository, branch, target, page)


def opened(link: Link) -> str:
    """Return the path of the page below the server's address, quoted so that it has no query."""
    return quote(link.page, safe="/")


def changeable(path: Path, group: int) -> Path | None:
    """Return the repository of a directory where other users can change what git runs there; None otherwise.

    Other users are all users, and members of groups other than `group`, the user's own. Access control lists show in
    the group bits.
    """
    for directory in (path, *path.parents):
        repository = directory / ".git"
        if repository.exists():
            parts = (repository, *(repository / name for name in ("config", "hooks", "info")))
            states = [part.stat() for part in parts if part.exists()]
            shared = any(
                state.st_mode & stat.S_IWOTH or (state.st_mode & stat.S_IWGRP and state.st_gid != group)
                for state in states
            )
            return directory if shared else None
    return None
