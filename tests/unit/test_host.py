"""What is read from a host, on recorded trees."""

from __future__ import annotations

import http.server
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.module_utils import host_state
from ansible_collections.gpulab.core.plugins.modules import distribution_packages
from ansible_collections.gpulab.core.plugins.modules import host_preflight as preflight

DEBIAN = {"os": "debian", "version": "12", "name": "Debian GNU/Linux 12", "cores": 2, "memory_gb": 8.2, "disk_gb": 30.0}


def test_supported_systems_pass_and_others_are_rejected_by_name() -> None:
    """The message names what the host runs and what would do."""
    assert preflight.system_problems(DEBIAN) == []
    found = preflight.system_problems({**DEBIAN, "os": "fedora", "version": "42", "name": "Fedora Linux 42"})
    assert "Fedora Linux 42" in found[0]
    assert "Debian 12, 13; Ubuntu 22.04, 24.04" in found[0]


def test_small_host_is_rejected_and_the_override_is_named() -> None:
    """Every size that is too small is named, with the variable that lowers it."""
    found = preflight.size_problems(DEBIAN, {"cores": 4, "memory_gb": 7.5, "disk_gb": 100}, "gpulab_minimum")
    assert [problem.rpartition("lower ")[2] for problem in found] == [
        "gpulab_minimum.cores).",
        "gpulab_minimum.disk_gb).",
    ]


def test_lack_of_space_names_the_folder(tmp_path: Path) -> None:
    """A directory that does not exist yet counts as its nearest parent."""
    assert preflight.space_problems({str(tmp_path / "not" / "yet"): 0}) == []
    assert str(tmp_path) in preflight.space_problems({str(tmp_path): 1e9})[0]


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Listen on a port of this machine."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_port_in_use_names_who_has_it(taken_port: int) -> None:
    """The message names the process and the variable."""
    found = preflight.port_problems([{"port": taken_port, "variable": "gpulab_hub_port", "unit": "x.service"}])
    assert len(found) == 1
    assert f"process {os.getpid()}" in found[0]
    assert "gpulab_hub_port" in found[0]


def test_free_port_is_no_problem(taken_port: int) -> None:
    """A port that nobody listens on passes; so does one that the requested unit has."""
    own = host_state.listeners(taken_port)[0].unit
    assert preflight.port_problems([{"port": taken_port, "variable": "x", "unit": own}]) == [] or not own
    assert preflight.port_problems([{"port": 1, "variable": "x", "unit": ""}]) == []


class Mirror(http.server.BaseHTTPRequestHandler):
    """A source that rejects its front page, and one that is broken."""

    def do_HEAD(self) -> None:
        """Answer by path."""
        self.send_response(500 if self.path == "/broken" else 404)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def mirror() -> Iterator[str]:
    """Serve it on this machine."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def ask(url: str, whole: bool = False) -> list[str]:
    """Ask one source."""
    source = {"url": url, "variable": "gpulab_sources.pip.index_url", "whole": whole}
    return preflight.source_problems({"sources": [source], "ca_certificates": "", "proxies": {}, "timeout": 3})


def test_source_that_answers_is_used(mirror: str, tmp_path: Path) -> None:
    """Mirrors seldom serve a front page: a rejection of it is an answer too. A directory only has to be there."""
    assert ask(mirror) == []
    assert ask(str(tmp_path)) == []


@pytest.mark.parametrize("kind", ["broken", "dead", "directory"])
def test_source_that_does_not_answer_names_its_variable(mirror: str, tmp_path: Path, kind: str) -> None:
    """The message holds the variable and the address."""
    url = {"broken": mirror + "/broken", "dead": "http://127.0.0.1:9/", "directory": str(tmp_path / "none")}[kind]
    found = ask(url)
    assert len(found) == 1
    assert found[0].startswith(f"gpulab_sources.pip.index_url: {url}")


def test_address_of_a_file_must_have_it(mirror: str) -> None:
    """A server that answers and does not have the package is no source of it."""
    assert "it answers HTTP 404" in ask(f"{mirror}/package.deb", whole=True)[0]


def test_somebody_elses_file_is_never_overwritten(tmp_path: Path) -> None:
    """A file without our mark, or a link to somewhere else, is rejected by name; ours, and none, pass."""
    kernel, command = tmp_path / "kernel.json", tmp_path / "gpulab"
    settings = [{"path": str(kernel), "mark": "gpulab"}, {"path": str(command), "mark": "/opt/gpulab"}]
    assert preflight.file_problems(settings) == []
    kernel.write_text('{"metadata": {"gpulab": true}}')
    command.symlink_to("/opt/gpulab/tools/current/bin/gpulab")
    assert preflight.file_problems(settings) == []
    kernel.write_text("{}")
    command.unlink()
    command.symlink_to("/usr/bin/true")
    assert [problem.split(" exists")[0] for problem in preflight.file_problems(settings)] == [
        str(kernel),
        str(command),
    ]


def test_os_release_is_read_with_and_without_quotes(tmp_path: Path) -> None:
    """Both forms are in use."""
    path = tmp_path / "os-release"
    path.write_text('ID=debian\nVERSION_ID="12"\n# no\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    found = host_state.os_release(path)
    assert (found["ID"], found["VERSION_ID"]) == ("debian", "12")
    assert host_state.os_release(tmp_path / "none") == {}


STATUS = """Package: git
Status: install ok installed
Version: 1

Package: half
Status: install ok half-configured

Package: gone
Status: deinstall ok config-files

Package: kept
Status: hold ok installed
"""


def test_only_whole_packages_count_as_installed() -> None:
    """A package that an interrupted apt left half-configured must be looked at again."""
    assert distribution_packages.installed(STATUS) == {"git", "kept"}
