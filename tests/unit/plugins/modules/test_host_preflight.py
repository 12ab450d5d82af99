# SPDX-License-Identifier: GPL-3.0-or-later
"""Module host_preflight: each problem of a host is reported with its fix."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

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


def test_lack_of_space_names_the_directory_and_its_file_system(tmp_path: Path) -> None:
    """A directory that does not exist yet counts as its nearest parent."""
    assert preflight.space_problems({str(tmp_path / "not" / "yet"): 0}) == []
    found = preflight.space_problems({str(tmp_path / "not"): 1e9})[0]
    assert f"1e+09 GB for {tmp_path}/not" in found
    assert f"mounted at {host_state.mount_point(tmp_path)} " in found


def test_needs_of_one_file_system_are_added_up(tmp_path: Path) -> None:
    """Each of two directories fits alone."""
    free = host_state.disk_gb(tmp_path)[1]
    needs = {str(tmp_path / "envs"): free * 0.6, str(tmp_path / "cache"): free * 0.6}
    found = preflight.space_problems(needs)
    assert len(found) == 1
    assert all(directory in found[0] for directory in needs)
    assert preflight.space_problems({str(tmp_path / "envs"): free * 0.6}) == []


def test_small_file_system_of_the_cache_is_measured_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other file system, which has space, is not named."""
    mounts = {"/opt/gpulab/envs": "/", "/var/cache/gpulab": "/var"}
    monkeypatch.setattr(host_state, "mount_point", lambda path: Path(mounts[str(path)]))
    monkeypatch.setattr(host_state, "disk_gb", lambda path: (0, {"/": 100.0, "/var": 1.0}[str(path)]))
    found = preflight.space_problems({"/opt/gpulab/envs": 7, "/var/cache/gpulab": 7})
    assert found == [
        "the file system mounted at /var has 1.0 GB free and needs 7 GB for /var/cache/gpulab: free some space there, "
        "or enlarge it."
    ]


@pytest.mark.parametrize(("option", "fix"), [("noexec", "exec"), ("ro", "rw")])
def test_file_system_without_programs_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, option: str, fix: str
) -> None:
    """One sentence for two directories on it."""
    assert preflight.mount_problems([str(tmp_path)]) == []
    monkeypatch.setattr(host_state, "mount_problem", lambda _: option)
    monkeypatch.setattr(host_state, "mount_point", lambda _: Path("/opt"))
    found = preflight.mount_problems(["/opt/gpulab/tools", "/opt/gpulab/envs"])
    assert len(found) == 1
    assert f"mounted at /opt with the option {option}" in found[0]
    assert f"mount -o remount,{fix} /opt" in found[0]


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (-365 * 86400, "365 days ahead of the controller's"),
        (3 * 86400, "3 days behind the controller's"),
        (4 * 3600, "4 hours behind the controller's"),
        (-600, "10 minutes ahead of the controller's"),
    ],
)
def test_wrong_clock_is_named(difference: float, words: str) -> None:
    """The message names timedatectl, and does not decide which clock is wrong."""
    found = preflight.clock_problems(time.time() + difference, 300)
    assert len(found) == 1
    assert words in found[0]
    assert "timedatectl" in found[0]


@pytest.mark.parametrize("difference", [0, -200, 250])
def test_small_difference_of_clocks_passes(difference: float) -> None:
    """So does a module that runs without its action plugin."""
    assert preflight.clock_problems(time.time() + difference, 300) == []
    assert preflight.clock_problems(0.0, 300) == []


@pytest.mark.parametrize("address", ["192.0.2.77", "2001:db8::77", "lab.example"])
def test_address_that_the_host_lacks_is_reported(address: str) -> None:
    """The proxy could not start with it; the message names the variable."""
    found = preflight.bind_problems([{"address": address, "variable": "jupyterhub_address (gpulab_hub_address)"}])
    assert len(found) == 1
    assert found[0].startswith(f"jupyterhub_address (gpulab_hub_address): a program cannot listen on {address} on this")


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "127.0.0.7"])
def test_address_of_the_host_passes(address: str, taken_port: int) -> None:
    """Also while another program listens there."""
    assert preflight.bind_problems([{"address": address, "variable": "x"}]) == []


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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("c.JupyterHub.template_vars = {\n", "site.py is not valid Python in line 1: '{' was never closed"),
        ("x = 1\n  y = 2\n", "site.py is not valid Python in line 2: unexpected indent"),
        ("x = 1\0", "site.py is not valid Python"),
        ("# first\nc.JupyterHub.port = 1\n", "site.py sets c.JupyterHub.port: use jupyterhub_port."),
    ],
)
def test_own_python_file_that_cannot_work_is_reported(tmp_path: Path, text: str, words: str) -> None:
    """With its line, and without being run."""
    (tmp_path / "site.py").write_text(text)
    (tmp_path / "notes.txt").write_text("{")
    entry = {"directory": str(tmp_path), "rejected": r"c\.JupyterHub\.port\s*=", "reason": "use jupyterhub_port."}
    found = preflight.python_problems([entry])
    assert len(found) == 1
    assert words in found[0]


def test_own_python_files_that_work_pass(tmp_path: Path) -> None:
    """So does a directory that does not exist; a file that is not text is reported."""
    entry = {"directory": str(tmp_path), "rejected": "", "reason": ""}
    (tmp_path / "site.py").write_text("c.JupyterHub.port = 1\nraise SystemExit\n")
    assert preflight.python_problems([entry, {**entry, "directory": str(tmp_path / "none")}]) == []
    (tmp_path / "site.py").write_bytes(b"x = '\xff'\n")
    assert "site.py is not valid Python" in preflight.python_problems([entry])[0]


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


def test_addresses_that_programs_read_differently_are_rejected_without_their_logins() -> None:
    """Of sources, wheels and proxies; hosts in lists are checked, too."""
    found = preflight.address_problems(
        {
            "sources": [{"url": "http://mirror/simple", "login": "svc:s3cret#", "variable": "sources_pip.index_url"}],
            "wheels": [{"index": "http://mirror/whl", "login": "s3cret%", "variable": "frameworks_torch_index"}],
            "proxies": {"https": 'svc:s3cret"@proxy:3128', "http": "proxy:3128"},
            "no_proxy": ["localhost", "10.0.0.0/8", "[::1]", "$(id)"],
            "trusted_hosts": ["mirror:8443", "https://mirror", "mi'rror"],
        }
    )
    assert [problem.partition(": ")[0] for problem in found] == [
        "sources_pip.index_url",
        "frameworks_torch_index",
        "sources_proxy.https (gpulab_sources.proxy.https)",
        "sources_proxy.no_proxy (gpulab_sources.proxy.no_proxy)",
        "sources_pip.trusted_hosts (gpulab_sources.pip.trusted_hosts)",
    ]
    assert "must be written as %23" in found[0]
    assert not any("s3cret" in problem for problem in found)
