# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a source has the wheel of a locked package for a version of Python, read from pages of indexes."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ansible_collections.gpulab.core.plugins.module_utils.common.addresses import without_login
from ansible_collections.gpulab.core.plugins.module_utils.common.source_requests import Access, below, request

WHEEL = re.compile(
    r"(?P<name>[^-]+)-(?P<version>[^-]+)(?:-\d[^-]*)?-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl"
)
"""File name of a wheel (packaging.python.org, "Binary distribution format")."""


@dataclass(frozen=True)
class Request:
    """A package in one version, for a version of Python such as 3.11 and a processor architecture."""

    package: str
    version: str
    python: str
    machine: str


class Links(HTMLParser):
    """The file names that a page of an index links to."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Read one link."""
        for name, value in attrs:
            if tag == "a" and name == "href" and value:
                self.names.add(unquote(urlsplit(value).path.rpartition("/")[2]))


def file_names(page: str) -> set[str]:
    """Return the file names of a page of the simple index (packaging.python.org, "Simple repository API")."""
    links = Links()
    links.feed(page)
    return links.names


def normalized(name: str) -> str:
    """Return the normalized name of a package."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pythons(names: Iterable[str], wanted: Request) -> set[str]:
    """Return the tags of Python for which wheels of a version exist on the processor, as cp311, py3 or cp39-abi3."""
    tags = set()
    for wheel in filter(None, map(WHEEL.fullmatch, names)):
        same = (normalized(wheel["name"]), wheel["version"]) == (normalized(wanted.package), wanted.version)
        usable = wheel["platform"] == "any" or wanted.machine in wheel["platform"]
        # A wheel for free-threaded Python (cp313t) does not work in another one.
        if same and usable and not re.fullmatch(r"cp\d+t", wheel["abi"]):
            suffix = "-abi3" if wheel["abi"] == "abi3" else ""
            tags |= {f"{tag}{suffix}" for tag in wheel["python"].split(".")}
    return tags


def fits(tag: str, python: str) -> bool:
    """Return whether a wheel with a tag of Python can be used by a version such as 3.11."""
    major, _dot, minor = python.partition(".")
    if tag in (f"cp{major}{minor}", f"py{major}", f"py{major}{minor}"):
        return True
    stable = re.fullmatch(rf"cp{major}(\d+)-abi3", tag)
    return stable is not None and int(stable[1]) <= int(minor)


def version_of(tag: str) -> str:
    """Return the version of Python of a tag, as 3.11; other tags stay as they are."""
    return f"{found[1]}.{found[2]}" if (found := re.fullmatch(r"cp(\d)(\d+)", tag)) else tag


def read_page(url: str, access: Access) -> set[str] | None:
    """Return the file names of a page or a directory; None where it cannot be read, which is not the same as empty."""
    if not url.startswith(("http://", "https://")):
        directory = Path(url.removeprefix("file://"))
        return {path.name for path in directory.iterdir()} if directory.is_dir() else None
    try:
        code, page = request(url, access, method="GET", accept="text/html")
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return file_names(page.decode("utf-8", "replace")) if code == 200 else set() if code == 404 else None


def why_missing(wanted: Request, indexes: Sequence[str], find_links: Sequence[str], access: Access) -> str:
    """Return the reason why no source has a wheel; empty if one has it, or if a source cannot be read.

    Sources that cannot be read are problems of their own. The default index of pip and uv is not read: it has no
    versions with a local part, such as +cpu.
    """
    pages = [below(url, f"{normalized(wanted.package)}/") for url in indexes] + list(find_links)
    answers = [read_page(url, access) for url in pages]
    names = {name for answer in answers if answer is not None for name in answer}
    tags = pythons(names, wanted)
    if not pages or any(fits(tag, wanted.python) for tag in tags):
        return ""
    if any(answer is None for answer in answers):
        return ""
    places = ", ".join(without_login(url) for url in (*indexes, *find_links))
    versions = sorted(map(version_of, tags), key=lambda text: [int(part) for part in re.findall(r"\d+", text)])
    others = f", which have it for Python {', '.join(dict.fromkeys(versions))}" if versions else ""
    return (
        f"no package source has {wanted.package} {wanted.version} for this host's Python {wanted.python} on "
        f"{wanted.machine}: searched {places}{others}. Name an index that has it."
    )
