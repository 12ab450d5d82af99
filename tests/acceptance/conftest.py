# SPDX-License-Identifier: GPL-3.0-or-later
"""One suite for molecule, `make lab` and live hosts: it compares the requested state with the actual state."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.accounts import Account
from tests.support.expected import Expected, password, read
from tests.support.hub import HubUser, Kernel, Kernels, tunnel
from tests.support.paths import ROOT
from tests.support.processes import run
from tests.support.shell import Shell, admitted


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the directory with demo passwords."""
    parser.addoption(
        "--passwords",
        type=Path,
        default=os.environ.get("GPULAB_PASSWORDS"),
        help="directory with one file per user, the password its first word; without it, tests that log in are skipped",
    )


@pytest.fixture(scope="session")
def expected_states(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Expected]:
    """Return the requested state of all hosts, as Ansible merges the variables of the inventory."""
    directory = tmp_path_factory.mktemp("expected")
    directory.chmod(0o700)
    argv = [
        "ansible-playbook",
        str(ROOT / "playbooks" / "expected_state.yml"),
        "--extra-vars",
        f"expected_state_directory={directory}",
    ]
    if inventory := request.config.getoption("--ansible-inventory"):
        argv += ["--inventory", inventory]
    # Other hosts' variables may need something that does not exist, such as files on the controller.
    if hosts := request.config.getoption("--hosts"):
        argv += ["--limit", ",".join(urlsplit(each).netloc for each in hosts.split(","))]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    done = run(argv, cwd=ROOT, env=environment, timeout=300)
    assert done.returncode == 0, f"playbooks/expected_state.yml failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return read(directory)


@pytest.fixture(scope="module")
def expected(host: Any, expected_states: dict[str, Expected]) -> Expected:
    """Return the requested state of this host."""
    return expected_states[host.backend.host]


@pytest.fixture(scope="module")
def certificate(host: Any, expected: Expected, tmp_path_factory: pytest.TempPathFactory) -> str | bool:
    """Return the CA file for the hub's certificate: the certificate itself where it was generated on the host."""
    if expected.hub["tls"] != "generated":
        return False
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_text(host.file("/etc/gpulab/tls/certificate.pem").content_string)
    return str(path)


@pytest.fixture(scope="session")
def until_end() -> Iterator[ExitStack]:
    """Return the stack of tunnels and users' servers that all modules share; they end with the run."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def hub_urls(until_end: ExitStack) -> Callable[[str, Expected], str]:
    """Return a function that opens a tunnel to a host's hub through SSH and returns its address."""
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


StartedUser = Callable[[str, tuple[str, str], str | bool], HubUser]
"""Returns a user with a running server, by the hub's address, name and password, and the certificate."""


@pytest.fixture(scope="session")
def started(until_end: ExitStack) -> StartedUser:
    """Return a function that logs a user in and starts the server, once for all modules: a start takes seconds."""
    users: dict[tuple[str, str], HubUser] = {}

    def started_user(hub_url: str, login: tuple[str, str], certificate: str | bool) -> HubUser:
        key = hub_url, login[0]
        if key not in users or not users[key].is_logged_in():
            users[key] = HubUser(hub_url, *login, certificate)
            until_end.callback(users[key].stop_server)
        users[key].start_server()
        return users[key]

    return started_user


@pytest.fixture(scope="module")
def login(request: pytest.FixtureRequest, expected: Expected) -> tuple[str, str]:
    """Return name and password of a user: the last one with a password in the directory of --passwords."""
    directory = request.config.getoption("--passwords")
    candidates = [(name, word) for name in expected.present if (word := password(directory, name))]
    if not candidates:
        pytest.skip("no password of a user is available: name a directory with --passwords (docs/how-to/verify.md)")
    return candidates[-1]


@pytest.fixture(scope="module")
def hub_user(hub_url: str, certificate: str | bool, login: tuple[str, str], started: StartedUser) -> HubUser:
    """Return a user who is logged in and has a running server."""
    return started(hub_url, login, certificate)


@pytest.fixture(scope="module")
def neighbour_login(request: pytest.FixtureRequest, expected: Expected, login: tuple[str, str]) -> tuple[str, str]:
    """Return name and password of a second user."""
    directory = request.config.getoption("--passwords")
    candidates = [(name, word) for name in expected.present if (word := password(directory, name)) and name != login[0]]
    if not candidates:
        pytest.skip("the password of only one user is available: isolation between two users was not tested")
    return candidates[0]


@pytest.fixture(scope="module")
def neighbour(hub_url: str, certificate: str | bool, neighbour_login: tuple[str, str], started: StartedUser) -> HubUser:
    """Return a second user who is logged in and has a running server."""
    return started(hub_url, neighbour_login, certificate)


@pytest.fixture(scope="session")
def kernels(until_end: ExitStack) -> Kernels:
    """Return a function that gives a user's kernel of a name; all modules share these kernels."""
    return Kernels(until_end)


@pytest.fixture
def kernel(kernels: Kernels, hub_user: HubUser, expected: Expected) -> Kernel:
    """Return a Python kernel of the user."""
    return kernels(hub_user, expected.kernels["python"])


@pytest.fixture
def neighbours_kernel(kernels: Kernels, neighbour: HubUser, expected: Expected) -> Kernel:
    """Return a Python kernel of the second user."""
    return kernels(neighbour, expected.kernels["python"])


@pytest.fixture(params=["notebook", "ssh"])
def run_as_attacker(request: pytest.FixtureRequest, host: Any) -> Callable[[str], str]:
    """Return a function that runs a Python program of the user: once in a notebook and once over SSH."""
    if request.param == "notebook":
        run: Callable[[str], str] = request.getfixturevalue("kernel").run
        return run
    shell: Shell = request.getfixturevalue("ssh")

    def run_over_ssh(code: str) -> str:
        done = shell.python(code)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_over_ssh


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the private key of a key pair that was made for this run."""
    path = tmp_path_factory.mktemp("ssh") / "id"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "verify", "-f", str(path)], check=True, timeout=60)
    return path


@pytest.fixture(scope="module")
def ssh(host: Any, expected: Expected, key: Path, login: tuple[str, str]) -> Iterator[Shell]:
    """Return the user over SSH, with a key that is removed at the end; on disposable hosts only."""
    if not expected.disposable:
        pytest.skip("this is a live host: no keys of users are changed on it")
    with admitted(host, expected, login[0], key) as shell:
        yield shell


@pytest.fixture(scope="module")
def slice_name(host: Any, login: tuple[str, str]) -> str:
    """Return the name of the user's slice."""
    return f"user-{host.user(login[0]).uid}.slice"


@pytest.fixture
def lower_limit(host: Any, expected: Expected, slice_name: str) -> Iterator[Any]:
    """Return a function that lowers a limit of the user's slice until the end of the test; on disposable hosts only."""
    if not expected.disposable:
        pytest.skip("this is a live host: no limits of users are lowered on it")

    def lower(limit: str) -> None:
        host.check_output("systemctl set-property --runtime %s %s", slice_name, limit)

    yield lower
    host.check_output("rm -rf /run/systemd/system.control/%s.d && systemctl daemon-reload", slice_name)


@pytest.fixture(scope="module")
def gpus(host: Any) -> list[str]:
    """Return the GPUs of the loaded driver; skip where there is none."""
    nodes = host.run("ls /proc/driver/nvidia/gpus")
    if nodes.rc != 0 or not nodes.stdout.split():
        pytest.skip("no NVIDIA GPU with a loaded driver on this host: GPUs were not tested")
    return list(nodes.stdout.split())


@pytest.fixture
def granted_gpus(host: Any, gpus: list[str], login: tuple[str, str]) -> Iterator[list[str]]:
    """Yield the GPUs, which the test's user holds meanwhile; skip where other users hold them."""
    if host.run("systemctl is-active --quiet gpulab-gpud").rc != 0:
        yield gpus
        return
    as_user = f"runuser -u {login[0]} -- timeout 60 gpulab"
    requested = host.check_output(f"{as_user} gpu request --gpus {len(gpus)} --note verification")
    try:
        if "holds" not in requested:
            pytest.skip(f"the GPUs are in use: {requested}")
        yield gpus
    finally:
        host.run(f"{as_user} gpu release")


@pytest.fixture(scope="module")
def account(host: Any, expected: Expected, hub_url: str, certificate: str | bool) -> Iterator[Account]:
    """Make a member of the users' group; only where the host may be thrown away."""
    if not expected.disposable:
        pytest.skip("this is a live host: no account is made on it")
    name = "verify-password"
    host.run("userdel --remove %s", name)
    host.check_output("useradd --create-home --shell /bin/bash --groups %s %s", expected.users_group, name)
    uid = str(host.user(name).uid)
    # As the role users lists it.
    host.check_output("touch /etc/gpulab/users/%s.verify", uid)
    yield Account(host, name)
    host.run(
        "rm /etc/gpulab/users/%s.verify; systemctl kill --signal=KILL user-%s.slice; pkill -KILL -u %s", uid, uid, name
    )
    host.check_output("userdel --remove %s 2>/dev/null", name)
    # The account must also leave the hub's database, or the next converge would change something.
    token = host.file("/var/lib/gpulab/jupyterhub/users.token").content_string.strip()
    headers = {"Authorization": f"token {token}"}
    answer = requests.delete(f"{hub_url}/hub/api/users/{name}", headers=headers, verify=certificate, timeout=60)
    assert answer.status_code in (204, 404), answer.text
