# SPDX-License-Identifier: GPL-3.0-or-later
"""A hostile user cannot reach what belongs to other users, in a notebook or over SSH."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.expected import Expected
from tests.support.hub import HubUser, Kernel, Kernels
from tests.support.shell import Shell

SECRET = "isolation-secret-4711"
"""The neighbour keeps it in a file, on a command line, in an environment and in a running kernel."""

CHANNELS = """
import json, os
from ipykernel.kernelapp import IPKernelApp
app = IPKernelApp.instance()
ports = (app.shell_port, app.iopub_port, app.stdin_port, app.control_port, app.hb_port)
print(json.dumps({
    "sockets": [[app.transport, app.ip, port] for port in ports], "connection": app.abs_connection_file,
    "server": os.environ["JUPYTERHUB_SERVICE_URL"],
}))
"""
KEEP = f"""
import os, subprocess
secret = {SECRET!r}
held = subprocess.Popen(["sleep", "900", "0"], executable="/bin/sleep", env={{"SECRET": secret}})
shown = subprocess.Popen(["sh", "-c", "sleep 900 # " + secret])
open("/tmp/isolation-of-notebook", "w").write(secret)
os.chmod("/tmp/isolation-of-notebook", 0o644)
"""
READ = """
for path in {paths!r}:
    try:
        with open(path, "rb") as opened:
            opened.read(1)
        print("READ", path)
    except OSError as error:
        print(type(error).__name__, path)
"""
PROCESSES = f"""
import os
found = 0
for number in filter(str.isdigit, os.listdir("/proc")):
    for name in ("cmdline", "environ"):
        try:
            text = open(f"/proc/{{number}}/{{name}}", "rb").read()
        except OSError:
            continue
        if {SECRET!r}.encode() in text and os.stat(f"/proc/{{number}}").st_uid != os.getuid():
            print("READ", number, name)
    found += 1
foreign = [n for n in filter(str.isdigit, os.listdir("/proc")) if os.stat(f"/proc/{{n}}").st_uid != os.getuid()]
print("own", found - len(foreign) > 0, "foreign", len(foreign))
"""
CONNECT = """
import socket
for transport, place, port in {sockets!r}:
    tcp = transport == "tcp"
    with socket.socket(socket.AF_INET if tcp else socket.AF_UNIX) as client:
        try:
            client.connect((place, port) if tcp else f"{{place}}-{{port}}")
            print("CONNECTED", place, port)
        except OSError as error:
            print(type(error).__name__, place, port)
"""
FETCH = """
import http.client, socket
for path in {paths!r}:
    connection = http.client.HTTPConnection("localhost", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect("/run/gpulab-hub/hub.sock")
    connection.request("GET", path)
    print(connection.getresponse().status, path)
"""
BOMB = """
import os, time
until = time.monotonic() + 4
rejected = 0
while time.monotonic() < until:
    try:
        if os.fork() == 0:
            time.sleep(max(0, until - time.monotonic()))
            os._exit(0)
    except OSError:
        rejected += 1
        time.sleep(0.001)
print("rejected", rejected > 0)
"""


@pytest.fixture(scope="module")
def planted_configuration(host: Any, login: tuple[str, str], expected: Expected) -> Iterator[str]:
    """Put a server configuration into the home before the server starts; return the file that it would create."""
    if not expected.disposable:
        pytest.skip("this is a live host: no files of users are changed on it")
    home, name = host.user(login[0]).home, login[0]
    mark = f"{home}/.server-read-my-configuration"
    text = f"open({mark!r}, 'w').close()\nc.KernelManager.transport = 'tcp'\nc.ServerApp.allow_origin = '*'\n"
    make = "runuser -u %s -- sh -c 'mkdir -p ~/.jupyter; cat > ~/.jupyter/jupyter_server_config.py' <<'E'\n%s\nE"
    host.check_output(make % (name, text))
    yield mark
    host.check_output("rm -f %s/.jupyter/jupyter_server_config.py %s", home, mark)


@pytest.fixture(scope="module")
def victim(kernels: Kernels, neighbour: HubUser, expected: Expected, host: Any) -> Iterator[dict[str, Any]]:
    """Run a neighbour's kernel that keeps a secret in every place a kernel has; return the places."""
    kernel = kernels(neighbour, expected.kernels["python"])
    kernel.run(KEEP)
    places = json.loads(kernel.run(CHANNELS))
    user = host.user(neighbour.name)
    host.check_output("runuser -u %s -- sh -c 'umask 0; echo %s > ~/isolation-secret'", neighbour.name, SECRET)
    yield {
        **places,
        "file": f"{user.home}/isolation-secret",
        "name": neighbour.name,
        "kernel": kernel,
        "environment": f"/run/gpulab/servers/{user.uid}",
    }
    kernel.run("held.kill(); shown.kill()")
    host.check_output("rm -f %s/isolation-secret", user.home)


@pytest.fixture(scope="module")
def kernel(planted_configuration: str, kernels: Kernels, hub_user: HubUser, expected: Expected) -> Kernel:
    """Return the hostile user's kernel, in a server that started after the configuration was planted."""
    hub_user.stop_server()
    hub_user.start_server()
    return kernels(hub_user, expected.kernels["python"])


def test_neighbours_files_and_the_hubs_secrets_cannot_be_read(
    run_as_attacker: Callable[[str], str], victim: dict[str, Any]
) -> None:
    """A world-readable file in another's home, the database, every token and key, what a server was started with."""
    paths = [victim["file"], victim["connection"], victim["environment"], "/etc/shadow"]
    paths += [f"/var/lib/gpulab/jupyterhub/{name}" for name in ("jupyterhub.sqlite", "cookie_secret", "users.token")]
    paths += [
        "/etc/gpulab/jupyterhub/proxy_token",
        "/etc/gpulab/jupyterhub/jupyterhub_config.py",
        "/etc/gpulab/tls/key.pem",
    ]
    answers = run_as_attacker(READ.format(paths=paths)).splitlines()
    assert len(answers) == len(paths)
    assert [line for line in answers if not line.startswith(("PermissionError", "FileNotFoundError"))] == []


def test_protected_files_exist(host: Any, victim: dict[str, Any]) -> None:
    """The test before would also pass if the files did not exist."""
    for path in (victim["file"], victim["environment"]):
        assert host.file(path).exists, path
    # The connection file is in memory that only the neighbour's unit sees.
    assert victim["kernel"].run(READ.format(paths=[victim["connection"]])).split()[0] == "READ"
    assert not host.file(victim["connection"]).exists


def test_processes_of_a_neighbour_are_invisible(
    run_as_attacker: Callable[[str], str], victim: dict[str, Any], host: Any
) -> None:
    """Neither command lines nor environments of other users are readable; one's own are."""
    assert SECRET in host.check_output("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
    assert run_as_attacker(PROCESSES).strip() == "own True foreign 0"


def test_kernel_channels_of_a_neighbour_reject_connections(
    run_as_attacker: Callable[[str], str], victim: dict[str, Any]
) -> None:
    """No channel of another user's kernel accepts a connection."""
    answers = run_as_attacker(CONNECT.format(sockets=victim["sockets"])).splitlines()
    assert len(answers) == 5
    assert [line for line in answers if not line.startswith(("PermissionError", "FileNotFoundError"))] == []


def test_temporary_files_are_private(run_as_attacker: Callable[[str], str], victim: dict[str, Any], host: Any) -> None:
    """Files of a neighbour or of the host in /tmp do not exist in a user's own /tmp."""
    host.check_output("touch /tmp/isolation-of-host && chmod 644 /tmp/isolation-of-host")
    try:
        answers = run_as_attacker(
            READ.format(paths=[f"/tmp/isolation-of-{whose}" for whose in ("notebook", "host")])
        ).splitlines()
    finally:
        host.check_output("rm /tmp/isolation-of-host")
    assert [line.split()[0] for line in answers] == ["FileNotFoundError"] * 2


def test_socket_of_the_hub_requires_a_login(run_as_attacker: Callable[[str], str], victim: dict[str, Any]) -> None:
    """Users' servers connect to it, so users can too: without a login it answers nothing."""
    paths = ["/hub/api/users", f"/hub/api/users/{victim['name']}", "/hub/api/proxy", "/hub/admin", "/hub/api/services"]
    answers = run_as_attacker(FETCH.format(paths=paths)).splitlines()
    assert len(answers) == len(paths)
    assert [line for line in answers if not line.startswith(("302", "403", "401"))] == []


def test_own_server_gives_no_access_to_another_users_server(
    hub_user: HubUser, kernel: Kernel, victim: dict[str, Any]
) -> None:
    """jupyter-server-proxy reaches another's port, and that port does not take one's own login for the other's."""
    port = victim["server"].rpartition(":")[2].partition("/")[0]
    for path in ("api/contents", "api/kernels", "api/sessions"):
        url = f"{hub_user.base}/user/{hub_user.name}/proxy/{port}/user/{victim['name']}/{path}"
        assert hub_user.web.get(url, timeout=60, allow_redirects=False).status_code in (302, 403, 404, 503)


def test_pages_of_others_are_closed(hub_user: HubUser, victim: dict[str, Any]) -> None:
    """A user's login opens neither a server nor an account of another user."""
    for path in (
        f"user/{victim['name']}/api/contents",
        f"hub/api/users/{victim['name']}",
        "hub/api/users",
        "hub/admin",
    ):
        answer = hub_user.web.get(f"{hub_user.base}/{path}", timeout=60, allow_redirects=False)
        assert answer.status_code in (302, 403, 404), path
        assert SECRET not in answer.text


def test_user_cannot_become_root(kernel: Kernel, ssh: Shell) -> None:
    """In a notebook no program can give privileges; over SSH, sudo rejects the user."""
    assert "NoNewPrivs:\t1" in kernel.run("print(open('/proc/self/status').read())")
    assert ssh.run("sudo -n true").returncode != 0
    assert ssh.run("systemctl stop gpulab-hub </dev/null").returncode != 0


def test_own_files_do_not_configure_the_server(kernel: Kernel, planted_configuration: str, host: Any) -> None:
    """The server was started with a configuration in its user's home, and did not read it."""
    assert not host.file(planted_configuration).exists
    assert "ipc" in kernel.run("from ipykernel.kernelapp import IPKernelApp as A; print(A.instance().transport)")


def test_server_environment_is_read_only(run_as_attacker: Callable[[str], str]) -> None:
    """No user can change the programs that all servers run."""
    paths = ["/opt/gpulab/server/current/x", "/opt/gpulab/hub/current/x", "/usr/local/bin/x", "/etc/profile.d/x.sh"]
    code = READ.replace('"rb"', '"wb"').replace("opened.read(1)", "pass")
    answers = run_as_attacker(code.format(paths=paths)).splitlines()
    assert len(answers) == len(paths)
    assert [line for line in answers if not line.startswith(("PermissionError", "OSError"))] == []


@pytest.mark.parametrize("name", ["protected_symlinks", "protected_hardlinks", "protected_fifos", "protected_regular"])
def test_kernel_does_not_follow_links_of_other_users(host: Any, name: str) -> None:
    """In world-writable directories, links of other users are not followed."""
    assert int(host.file(f"/proc/sys/fs/{name}").content_string) >= 1


def test_fork_bomb_leaves_the_neighbour_working(
    ssh: Shell, victim: dict[str, Any], host: Any, lower_limit: Any, slice_name: str
) -> None:
    """While a bomb is rejected at the limit of one user, another's kernel answers."""
    tasks = int(host.check_output("systemctl show --property TasksCurrent --value %s", slice_name))
    lower_limit(f"TasksMax={tasks + 150}")
    with ssh.start(f"exec /usr/bin/python3 -c '{BOMB}'") as bomb:
        assert victim["kernel"].run("print(6 * 7)").strip() == "42"
        assert host.run("true").rc == 0
        assert bomb.communicate(timeout=60)[0].strip().endswith("rejected True")
