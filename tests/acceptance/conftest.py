"""One suite for molecule, for `make lab` and for live hosts: what is requested, compared with what is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.expected import Expected, password, read
from tests.support.hub import HubUser, tunnel
from tests.support.paths import ROOT
from tests.support.processes import run
from tests.support.shell import Shell, admitted


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say where demo passwords are."""
    parser.addoption(
        "--passwords",
        type=Path,
        default=os.environ.get("GPULAB_PASSWORDS"),
        help="directory with one file per user, the password its first word; without it nobody can log in as a user",
    )


@pytest.fixture(scope="session")
def expected_states(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Expected]:
    """Ask Ansible what is requested: it alone knows how variables are merged."""
    directory = tmp_path_factory.mktemp("expected")
    directory.chmod(0o700)
    argv = [
        "ansible-playbook",
        str(ROOT / "playbooks" / "site_variables.yml"),
        "--extra-vars",
        f"expected_state_directory={directory}",
    ]
    if inventory := request.config.getoption("--ansible-inventory"):
        argv += ["--inventory", inventory]
    # Other hosts' variables may need what is not there, such as files on the controller.
    if hosts := request.config.getoption("--hosts"):
        argv += ["--limit", ",".join(urlsplit(each).netloc for each in hosts.split(","))]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = run(argv, cwd=ROOT, env=environment, timeout=300)
    assert done.returncode == 0, f"playbooks/expected_state.yml failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return read(directory)


@pytest.fixture(scope="module")
def expected(host: Any, expected_states: dict[str, Expected]) -> Expected:
    """Give what is requested for this host."""
    return expected_states[host.backend.host]


@pytest.fixture(scope="module")
def certificate(host: Any, expected: Expected, tmp_path_factory: pytest.TempPathFactory) -> str | bool:
    """Give what the hub's certificate is checked against: itself, when it was generated on the host."""
    if expected.hub["tls"] != "generated":
        return False
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_text(host.file("/etc/gpulab/tls/certificate.pem").content_string)
    return str(path)


@pytest.fixture(scope="session")
def until_end() -> Iterator[ExitStack]:
    """Return what ends with the run: tunnels to hosts and servers of users, which all modules share."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def hub_urls(until_end: ExitStack) -> Callable[[str, Expected], str]:
    """Return a function for the address of a host's hub, reached through SSH wherever it listens."""
    urls: dict[str, str] = {}

    def hub_url_of(host: str, expected: Expected) -> str:
        if host not in urls:
            hub = expected.hub
            address = "127.0.0.1" if hub["address"] in ("0.0.0.0", "::") else hub["address"]
            port = until_end.enter_context(tunnel(expected.connection, address, hub["port"]))
            urls[host] = f"{'http' if hub['tls'] == 'none' else 'https'}://127.0.0.1:{port}"
        return urls[host]

    return hub_url_of


@pytest.fixture(scope="module")
def hub_url(host: Any, expected: Expected, hub_urls: Callable[[str, Expected], str]) -> str:
    """Return the address of the host's hub."""
    return hub_urls(host.backend.host, expected)


Working = Callable[[str, tuple[str, str], str | bool], HubUser]
"""Gives a user with a running server, by the hub's address, name and password, and the certificate."""


@pytest.fixture(scope="session")
def working(until_end: ExitStack) -> Working:
    """Return a function that logs a user in and starts the server, once for all modules: a start takes seconds."""
    users: dict[tuple[str, str], HubUser] = {}

    def working_user(hub_url: str, login: tuple[str, str], certificate: str | bool) -> HubUser:
        key = hub_url, login[0]
        if key not in users or not users[key].is_logged_in():
            users[key] = HubUser(hub_url, *login, certificate)
            until_end.callback(users[key].stop_server)
        users[key].start_server()
        return users[key]

    return working_user


@pytest.fixture(scope="module")
def login(request: pytest.FixtureRequest, expected: Expected) -> tuple[str, str]:
    """Give somebody whose password is known: name and password."""
    directory = request.config.getoption("--passwords")
    known = [(name, word) for name in expected.present if (word := password(directory, name))]
    if not known:
        pytest.skip("nobody's password is known: name a directory with --passwords (docs/verify.md)")
    return known[-1]


@pytest.fixture(scope="module")
def hub_user(hub_url: str, certificate: str | bool, login: tuple[str, str], working: Working) -> HubUser:
    """Return a user who is logged in and has a running server."""
    return working(hub_url, login, certificate)


@pytest.fixture(scope="module")
def neighbour_login(request: pytest.FixtureRequest, expected: Expected, login: tuple[str, str]) -> tuple[str, str]:
    """Give somebody else whose password is known."""
    directory = request.config.getoption("--passwords")
    known = [(name, word) for name in expected.present if (word := password(directory, name)) and name != login[0]]
    if not known:
        pytest.skip("the password of only one user is known: nothing was proven about walls between two")
    return known[0]


@pytest.fixture(scope="module")
def neighbour(hub_url: str, certificate: str | bool, neighbour_login: tuple[str, str], working: Working) -> HubUser:
    """Return a second user who is logged in and has a running server."""
    return working(hub_url, neighbour_login, certificate)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a key pair that only this run has."""
    path = tmp_path_factory.mktemp("ssh") / "id"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "verify", "-f", str(path)], check=True, timeout=60)
    return path


@pytest.fixture(scope="module")
def ssh(host: Any, expected: Expected, key: Path, login: tuple[str, str]) -> Iterator[Shell]:
    """Let the user in over SSH, by a key that is taken away at the end; only on a host that may be thrown away."""
    if not expected.disposable:
        pytest.skip("this is a live host: nobody's keys are changed on it")
    with admitted(host, expected, login[0], key) as shell:
        yield shell


@pytest.fixture(scope="module")
def slice_name(host: Any, login: tuple[str, str]) -> str:
    """Name the slice of the user."""
    return f"user-{host.user(login[0]).uid}.slice"


@pytest.fixture
def small(host: Any, expected: Expected, slice_name: str) -> Iterator[Any]:
    """Lower a limit of the user's slice until the end of the test; on disposable hosts alone."""
    if not expected.disposable:
        pytest.skip("this is a live host: nobody's limits are lowered on it")

    def lower(limit: str) -> None:
        host.check_output("systemctl set-property --runtime %s %s", slice_name, limit)

    yield lower
    host.check_output("rm -rf /run/systemd/system.control/%s.d && systemctl daemon-reload", slice_name)


@pytest.fixture(scope="module")
def gpus(host: Any) -> list[str]:
    """Give the GPUs that the loaded driver serves; skip where there is none, with the reason."""
    nodes = host.run("ls /proc/driver/nvidia/gpus")
    if nodes.rc != 0 or not nodes.stdout.split():
        pytest.skip("no NVIDIA GPU with a loaded driver on this host: nothing was proven about GPUs")
    return list(nodes.stdout.split())
