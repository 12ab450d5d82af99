# SPDX-License-Identifier: GPL-3.0-or-later
"""Module host_preflight: each problem of a host is reported with its fix."""

from __future__ import annotations

import http.server
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.common import host_state
from ansible_collections.gpulab.core.plugins.modules import host_preflight as preflight
from tests.support.paths import ROOT

DEBIAN = {"os": "debian", "version": "12", "name": "Debian GNU/Linux 12", "cores": 2, "memory_gb": 8.2, "disk_gb": 30.0}


def test_supported_systems_pass_and_others_are_rejected_by_name() -> None:
    """The message names the distribution of the host and the supported ones."""
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


def test_lack_of_space_names_the_directory(tmp_path: Path) -> None:
    """A directory that does not exist yet counts as its nearest parent."""
    assert preflight.space_problems({str(tmp_path / "not" / "yet"): 0}) == []
    assert str(tmp_path) in preflight.space_problems({str(tmp_path): 1e9})[0]


@pytest.mark.parametrize("address", ["192.0.2.77", "2001:db8::77", "lab.example"])
def test_address_that_the_host_lacks_is_reported(address: str) -> None:
    """The proxy could not start with it; the message names the variable."""
    found = preflight.address_problems([{"address": address, "variable": "jupyterhub_address (gpulab_hub_address)"}])
    assert len(found) == 1
    assert found[0].startswith(f"jupyterhub_address (gpulab_hub_address): a program cannot listen on {address} on this")


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "127.0.0.7"])
def test_address_of_the_host_passes(address: str, taken_port: int) -> None:
    """Also while another program listens there."""
    assert preflight.address_problems([{"address": address, "variable": "x"}]) == []


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Listen on a port of this machine."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_port_in_use_is_reported_with_its_process(taken_port: int) -> None:
    """The message names the process and the variable."""
    found = preflight.port_problems([{"port": taken_port, "variable": "gpulab_hub_port", "unit": "x.service"}])
    assert len(found) == 1
    assert f"process {os.getpid()}" in found[0]
    assert "gpulab_hub_port" in found[0]


def test_free_port_passes(taken_port: int) -> None:
    """So does a port on which the role's own unit listens."""
    own = host_state.listeners(taken_port)[0].unit
    assert preflight.port_problems([{"port": taken_port, "variable": "x", "unit": own}]) == [] or not own
    assert preflight.port_problems([{"port": 1, "variable": "x", "unit": ""}]) == []


class Mirror(http.server.BaseHTTPRequestHandler):
    """A mirror without a front page, with one path that is broken."""

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


def problems(url: str, whole: bool = False) -> list[str]:
    """Return the problems of one source."""
    source = {"url": url, "variable": "gpulab_sources.pip.index_url", "whole": whole}
    return preflight.source_problems({"sources": [source], "ca_certificates": "", "proxies": {}, "timeout": 3})


def test_source_that_answers_passes(mirror: str, tmp_path: Path) -> None:
    """Mirrors seldom serve a front page, so HTTP 404 is an answer too. A directory only has to exist."""
    assert problems(mirror) == []
    assert problems(str(tmp_path)) == []


@pytest.mark.parametrize("kind", ["broken", "dead", "directory"])
def test_source_that_does_not_answer_names_its_variable(mirror: str, tmp_path: Path, kind: str) -> None:
    """The message holds the variable and the address."""
    url = {"broken": mirror + "/broken", "dead": "http://127.0.0.1:9/", "directory": str(tmp_path / "none")}[kind]
    found = problems(url)
    assert len(found) == 1
    assert found[0].startswith(f"gpulab_sources.pip.index_url: {url}")


def test_address_of_a_file_must_exist(mirror: str) -> None:
    """A server that answers without the package is not a source of it."""
    assert "it answers HTTP 404" in problems(f"{mirror}/package.deb", whole=True)[0]


def test_foreign_file_is_never_overwritten(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("uid", [65534, 4711])
def test_connection_without_root_is_one_sentence(uid: int) -> None:
    """It names the login and the variable, also for a uid without a name."""
    problem = host_state.privilege_problem(uid)
    assert "set ansible_become: true" in problem
    assert ("nobody" if uid == 65534 else "uid 4711") in problem
    assert host_state.privilege_problem(0) == ""


@pytest.mark.parametrize("module", ["host_preflight", "account_info", "converge_lock"])
def test_modules_that_need_root_check_it_first(module: str) -> None:
    """Whichever of them a playbook or a role that is used alone calls first."""
    text = (ROOT / "plugins" / "modules" / f"{module}.py").read_text()
    main = text[text.index("def main()") :]
    assert "privilege_problem()" in main
    assert main.index("privilege_problem()") < main.index("exit_json")
