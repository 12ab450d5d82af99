"""A user cannot take over another user, the hub or root: regression tests of earlier holes and similar attacks."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from tests.support.expected import Expected
from tests.support.hub import HubUser, Kernel, server_unit
from tests.support.shell import Shell

SERVICES = ("gpulab-hub", "gpulab-proxy", "gpulab-certificates", "gpulab-launcher@1-1-1")
LIMITS = {
    "gpulab-hub": 2.5,
    "gpulab-proxy": 2.5,
    "gpulab-certificates": 2.5,
    "gpulab-launcher@": 2.5,
    "gpulab-server@": 5.0,
}
"""The most that `systemd-analyze security` of systemd 252 may print for each unit."""
PROPERTIES = {
    "gpulab-hub": {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "CapabilityBoundingSet": "",
    },
    "gpulab-proxy": {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateDevices": "yes",
    },
    "gpulab-launcher@1-1-1": {"ProtectSystem": "strict", "ProtectHome": "yes", "CapabilityBoundingSet": ""},
    "gpulab-server@1000": {
        "NoNewPrivileges": "yes",
        "PrivateTmp": "yes",
        "ProtectProc": "invisible",
        "CapabilityBoundingSet": "",
    },
}
OWN_PLACES = (
    "/proc",
    "/sys",
    "/dev",
    "/tmp",
    "/var/tmp",
    "/run/lock",
    "/run/user",
    "/run/screen",
    "/run/gpulab/jupyter",
    "/srv/shared",
    "/var/lib/gpulab/sessions",
    "/var/lib/gpulab/servers",
)
"""Directories outside of their homes in which users may write: bounded, their own, or sticky and read by no service."""

WATCH = """
import glob, os, signal, time
until = time.monotonic() + {seconds}
found = set()
while time.monotonic() < until:
    for path in glob.glob("/proc/[0-9]*"):
        try:
            if os.stat(path).st_uid != os.getuid():
                continue
            groups = open(path + "/cgroup").read()
            environment = open(path + "/environ", "rb").read()
            command = open(path + "/cmdline", "rb").read()
        except OSError:
            continue
        if f"user-{{os.getuid()}}.slice" not in groups:
            found.add("outside of the slice")
        if b"CONFIGPROXY" in environment:
            found.add("token of the proxy")
        if {stop} and (b"gpulab_server.home" in command or b"tempfile.TemporaryFile" in command):
            os.kill(int(path.rpartition("/")[2]), signal.SIGSTOP)
            found.add("stopped")
print(sorted(found), flush=True)
"""
BIND = """
import os, socket, time
until = time.monotonic() + {seconds}
taken = set()
places = {places!r}
while time.monotonic() < until:
    for place in places:
        server = socket.socket(socket.AF_UNIX if isinstance(place, str) else socket.AF_INET)
        try:
            if isinstance(place, str):
                os.path.exists(place) and os.unlink(place)
                server.bind(place)
            else:
                server.bind(tuple(place))
            taken.add(str(place))
        except OSError:
            pass
        server.close()
print("taken", sorted(taken), flush=True)
"""
SQUAT = """
import glob, socket, ssl, threading, time
def pages(server, context):
    while True:
        try:
            client, _ = server.accept()
            if context:
                client = context.wrap_socket(client, server_side=True)
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 7\\r\\n\\r\\nSQUATTE")
            client.close()
        except OSError:
            continue
import os
directory = os.environ["JUPYTER_RUNTIME_DIR"] + "/tls"
context = None
if os.path.isdir(directory):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory + "/certificate.pem", directory + "/key.pem")
squatter = socket.socket()
squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
for _ in range(100):
    try:
        squatter.bind(({address!r}, {port}))
        break
    except OSError:
        time.sleep(0.1)
squatter.listen()
threading.Thread(target=pages, args=(squatter, context), daemon=True).start()
print("listening")
"""
VISIT = """
import os, socket, ssl
directory = os.environ.get("JUPYTER_RUNTIME_DIR", "") + "/tls"
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
if {certificate}:
    context.load_cert_chain(directory + "/certificate.pem", directory + "/key.pem")
for secure in (False, True):
    try:
        client = socket.create_connection(({address!r}, {port}), timeout=20)
        if secure:
            client = context.wrap_socket(client)
        client.sendall(b"GET /user/{name}/api HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        print(client.recv(12))
    except OSError as error:
        print(type(error).__name__)
"""
WRITABLE = """
import os, stat
skip = {skip!r} + (os.path.expanduser("~"),)
for root, directories, _ in os.walk("/"):
    directories[:] = [each for each in directories if os.path.join(root, each) not in skip]
    for each in directories:
        path = os.path.join(root, each)
        try:
            if not os.path.islink(path) and os.access(path, os.W_OK):
                print(path)
        except OSError:
            continue
"""


@pytest.fixture
def kernel(hub_user: HubUser, expected: Expected) -> Iterator[Kernel]:
    """Return the hostile user's kernel."""
    with hub_user.kernel(expected.kernels["python"]) as started:
        yield started


@pytest.fixture(params=["notebook", "ssh"])
def run_as_attacker(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Return a function that runs a program of the hostile user: once in a notebook and once over SSH."""
    if request.param == "notebook":
        run: Callable[[str], str] = request.getfixturevalue("kernel").run
        return run
    shell: Shell = request.getfixturevalue("ssh")

    def run_over_ssh(code: str) -> str:
        done = shell.python(code)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_over_ssh


@contextmanager
def in_background(ssh: Shell, code: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program of the hostile user over SSH for the length of the block."""
    with ssh.start("exec /usr/bin/python3 -") as process:
        assert process.stdin
        process.stdin.write(code)
        process.stdin.close()
        process.stdin = None
        try:
            yield process
        finally:
            process.kill()


def target(host: Any, name: str) -> tuple[str, int]:
    """Return the address on which a user's server listens."""
    pid = host.check_output("systemctl show --property MainPID --value %s", server_unit(host, name))
    listening = host.check_output("ss -Hltnp")
    found = re.search(rf"\s(\d+\.\d+\.\d+\.\d+):(\d+)\s.*pid={pid},", listening)
    assert found, listening
    return found[1], int(found[2])


def test_nothing_runs_with_a_users_uid_outside_of_the_users_slice(ssh: Shell, hub_user: HubUser) -> None:
    """While a server starts, its user reads every own process: none is the hub's child, none has a token."""
    hub_user.stop_server()
    with in_background(ssh, WATCH.format(seconds=12, stop=False)) as watch:
        time.sleep(2)
        hub_user.start_server()
        assert watch.communicate(timeout=60)[0].strip() == "[]"


@pytest.fixture
def short_limits(host: Any, expected: Expected) -> Iterator[None]:
    """Lower the time limits of servers until the end of the test; on disposable hosts alone."""
    if not expected.disposable:
        pytest.skip("this is a live host: no time limit is lowered on it")
    drop_in = "/run/systemd/system/gpulab-server@.service.d"
    text = "[Service]\\nTimeoutStartSec=5\\nTimeoutStopSec=5\\n"
    host.check_output(f"mkdir -p {drop_in} && printf '{text}' > {drop_in}/limit.conf && systemctl daemon-reload")
    yield
    host.check_output(f"rm -r {drop_in} && systemctl daemon-reload")


@pytest.mark.usefixtures("short_limits")
def test_stopped_home_check_ends_and_does_not_delay_others(ssh: Shell, hub_user: HubUser, neighbour: HubUser) -> None:
    """The user's own start fails at the unit's time limit; meanwhile a neighbour's server starts."""
    hub_user.stop_server()
    neighbour.stop_server()
    try:
        with in_background(ssh, WATCH.format(seconds=15, stop=True)) as watch:
            time.sleep(2)
            began = time.monotonic()
            with pytest.raises(RuntimeError, match="HTTP 500"):
                hub_user.start_server(60)
            assert time.monotonic() - began < 20
            neighbour.start_server()
            assert "stopped" in watch.communicate(timeout=60)[0]
    finally:
        hub_user.start_server()


def test_secrets_are_in_no_environment(host: Any) -> None:
    """Neither hub nor proxy holds its token where a child would inherit it."""
    for unit in ("gpulab-hub", "gpulab-proxy"):
        pid = host.check_output("systemctl show --property MainPID --value %s", unit)
        names = host.check_output("tr '\\0' '\\n' < /proc/%s/environ | cut -d= -f1", pid)
        assert not [name for name in names.split() if "TOKEN" in name or "SECRET" in name]


def test_users_can_write_only_in_their_own_places(
    host: Any, run_as_attacker: Callable[[str], str], victim: str
) -> None:
    """No directory that a service reads, links into or fills up is a user's, also while servers run."""
    assert run_as_attacker(WRITABLE.format(skip=OWN_PLACES)).split() == []


@pytest.fixture(scope="module")
def victim(neighbour: HubUser) -> str:
    """Return the name of a neighbour whose server runs."""
    neighbour.start_server()
    return neighbour.name


@pytest.mark.usefixtures("short_limits")
def test_old_processes_are_gone_before_a_server_starts_again(host: Any, hub_user: HubUser, expected: Expected) -> None:
    """A child that ignores SIGTERM does not live on into the next server."""
    code = (
        "import subprocess\nargv = ['sh', '-c', \"trap '' TERM; sleep 300; sleep 300\"]\n"
        "print(subprocess.Popen(argv, start_new_session=True).pid)"
    )
    with hub_user.kernel(expected.kernels["python"]) as started:
        pid = started.run(code).strip()
    assert host.run("test -d /proc/%s", pid).rc == 0
    hub_user.stop_server()
    hub_user.start_server()
    assert host.run("test -d /proc/%s", pid).rc == 1


def test_hub_and_proxy_listen_on_no_port_of_their_own(host: Any, expected: Expected) -> None:
    """There is one public port; everything else is a unix socket."""
    ports = set()
    for unit in ("gpulab-hub", "gpulab-proxy"):
        for pid in host.check_output(
            "cat $(find /sys/fs/cgroup -path '*%s.service/cgroup.procs' | head -1)", unit
        ).split():
            ports |= set(re.findall(rf":(\d+)\s[^\n]*pid={pid},", host.check_output("ss -Hltunp")))
    assert ports == {str(expected.hub["port"])}


def test_sockets_of_hub_and_proxy_cannot_be_taken(host: Any, ssh: Shell, hub_user: HubUser, expected: Expected) -> None:
    """Not even while hub and proxy restart; and users' servers go on."""
    if not expected.disposable:
        pytest.skip("this is a live host: the hub is not restarted on it")
    places = [
        "/run/gpulab-hub/hub.sock",
        "/run/gpulab-proxy/api.sock",
        "/run/gpulab/launcher.sock",
        "/run/gpulab/password.sock",
    ]
    pid = host.check_output("systemctl show --property MainPID --value %s", server_unit(host, hub_user.name))
    with in_background(
        ssh, BIND.format(seconds=15, places=[*places, ["127.0.0.1", 8001], ["127.0.0.1", 8081]])
    ) as taker:
        time.sleep(2)
        host.check_output("systemctl restart gpulab-hub gpulab-proxy")
        taken = taker.communicate(timeout=60)[0].strip()
    assert not [place for place in places if place in taken]
    wait_for(lambda: hub_user.web.get(f"{hub_user.base}/user/{hub_user.name}/api", timeout=20).status_code == 200)
    assert host.check_output("systemctl show --property MainPID --value %s", server_unit(host, hub_user.name)) == pid


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until a condition holds; fail when it does not."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(1)


def test_sockets_of_helpers_are_the_hubs_alone(host: Any, run_as_attacker: Callable[[str], str]) -> None:
    """A user cannot connect to them."""
    code = (
        "import socket\nfor path in {0!r}:\n    try:\n        socket.socket(socket.AF_UNIX).connect(path)\n"
        "        print('CONNECTED')\n    except OSError as error:\n        print(type(error).__name__)"
    )
    paths = ["/run/gpulab/launcher.sock", "/run/gpulab-proxy/api.sock"]
    assert run_as_attacker(code.format(paths)).split() == ["PermissionError"] * 2


def test_proxy_that_cannot_listen_ends_and_comes_back(host: Any, expected: Expected) -> None:
    """While another program has its port it is not reported as active, and it needs no restart by hand afterwards."""
    if not expected.disposable:
        pytest.skip("this is a live host: the proxy is not stopped on it")
    port = str(expected.hub["port"])
    host.check_output("systemctl stop gpulab-proxy")
    try:
        host.check_output(
            "systemd-run --quiet --unit taken-port /usr/bin/python3 -m http.server --bind 0.0.0.0 %s", port
        )
        wait_for(lambda: host.socket(f"tcp://0.0.0.0:{port}").is_listening, 20)
        host.run("systemctl start gpulab-proxy")
        wait_for(lambda: int(host.check_output("systemctl show --property NRestarts --value gpulab-proxy")) >= 2, 30)
    finally:
        host.check_output("systemctl stop taken-port")
    wait_for(lambda: host.run("systemctl is-active gpulab-proxy gpulab-hub").rc == 0, 30)
    host.run("systemctl start gpulab-hub")
    wait_for(lambda: host.file("/run/gpulab-hub/hub.sock").exists, 30)
    wait_for(lambda: host.run("ss -Hltnp | grep -q ':%s .*MainThread\\|:%s .*node'", port, port).rc == 0, 30)


def test_other_user_cannot_serve_a_users_route(host: Any, kernel: Kernel, neighbour: HubUser, victim: str) -> None:
    """Even on the same address and port, with a valid certificate of an own server, the proxy rejects it."""
    address, port = target(host, victim)
    host.check_output("systemctl kill --kill-whom=all --signal=KILL %s", server_unit(host, victim))
    assert kernel.run(SQUAT.format(address=address, port=port)).strip() == "listening"
    try:
        answer = neighbour.web.get(f"{neighbour.base}/user/{victim}/api", timeout=60, allow_redirects=False)
        assert "SQUATTE" not in answer.text
        assert answer.status_code >= 300
    finally:
        kernel.run("squatter.close()")
        wait_for(lambda: host.run("systemctl is-active %s", server_unit(host, victim)).rc != 0)
        # The hub notices the lost server within half a minute; then its user starts another one.
        wait_for(
            lambda: not neighbour.web.get(f"{neighbour.base}/hub/api/users/{victim}", timeout=20).json().get("servers"),
            90,
        )
        neighbour.start_server()


ROUTE = """
import http.client, json, socket
connection = http.client.HTTPConnection("localhost", timeout=20)
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect("/run/gpulab-proxy/api.sock")
token = open("/etc/gpulab/jupyterhub/proxy_token").read().strip()
headers = {{"Authorization": f"token {{token}}"}}
connection.request({method!r}, "/api/routes{path}", json.dumps({{"target": {target!r}}}), headers)
print(connection.getresponse().status)
"""


def test_pages_of_other_users_are_not_opened(host: Any, kernel: Kernel, hub_user: HubUser, neighbour: HubUser) -> None:
    """A user's own program in the place of the server gets its own user's visits alone, whatever a link names."""
    address, port = target(host, hub_user.name)
    assert kernel.run(SQUAT.format(address=address, port=port + 1 if port < 60000 else port - 1)).strip() == "listening"
    page, url = f"/user/{hub_user.name}/own-page", f"https://{address}:{port + 1 if port < 60000 else port - 1}"
    assert as_hub(host, ROUTE.format(method="POST", path=page, target=url)).strip() == "201"
    try:
        assert "SQUATTE" in hub_user.web.get(f"{hub_user.base}{page}", timeout=60).text
        answer = neighbour.web.get(f"{neighbour.base}{page}", timeout=60)
        assert answer.status_code == 403
        assert "another user" in answer.text
        stranger = {"Sec-Fetch-Mode": "navigate"}
        for browser in (stranger, {"Accept": "text/html,*/*"}):
            answer = requests.get(f"{hub_user.base}{page}", headers=browser, verify=hub_user.verify, timeout=60)
            assert "/hub/login" in answer.url
        script = {**stranger, "Sec-Fetch-Mode": "cors"}
        assert neighbour.web.get(f"{neighbour.base}{page}", headers=script, timeout=60).status_code == 403
        token = {**stranger, "Authorization": "token x"}
        assert "SQUATTE" not in neighbour.web.get(f"{neighbour.base}{page}", headers=token, timeout=60).text
    finally:
        as_hub(host, ROUTE.format(method="DELETE", path=page, target=url))
        kernel.run("squatter.close()")


@pytest.mark.parametrize("with_key", [False, True])
def test_other_user_cannot_talk_to_a_users_server(host: Any, kernel: Kernel, victim: str, with_key: bool) -> None:
    """A server answers the hub and the proxy alone; an own server's certificate is not a client's."""
    address, port = target(host, victim)
    answers = kernel.run(VISIT.format(address=address, port=port, name=victim, certificate=with_key)).splitlines()
    assert len(answers) == 2
    assert not [line for line in answers if "HTTP" in line]


def test_key_of_a_server_is_its_users_alone(host: Any, kernel: Kernel, victim: str) -> None:
    """It is in memory that only the unit sees."""
    path = kernel.run("import os; key = os.environ['JUPYTERHUB_SSL_KEYFILE']; print(key, oct(os.stat(key).st_mode))")
    assert path.split()[1] == "0o100600"
    assert not host.file(path.split()[0]).exists
    uid = str(host.user(victim).uid)
    assert host.run("setpriv --reuid=nobody --regid=nogroup --clear-groups cat /run/gpulab/servers/%s", uid).rc == 1
    environment = host.file(f"/run/gpulab/servers/{uid}")
    assert (environment.user, environment.mode) == ("root", 0o600)


REQUEST = """
import json, socket
client = socket.socket(socket.AF_UNIX)
client.connect("/run/gpulab/launcher.sock")
client.sendall({line!r})
print(client.makefile().readline())
"""


def as_hub(host: Any, code: str) -> str:
    """Run a program as the hub's account."""
    return str(
        host.check_output("setpriv --reuid=gpulab-hub --regid=gpulab-hub --clear-groups /usr/bin/python3 -c %s", code)
    )


@pytest.mark.parametrize("uid", [0, 1, 65534, 999999])
def test_hub_can_start_servers_of_listed_users_only(host: Any, uid: int) -> None:
    """Whatever a hub that was taken over requests."""
    line = json.dumps({"action": "start", "uid": uid, "environment": {}}).encode() + b"\n"
    assert "may not have a server" in (answer := as_hub(host, REQUEST.format(line=line))) or "is not listed" in answer
    host.run("systemctl start gpulab-server@%s.service", str(uid))
    assert host.check_output("systemctl show --property AssertResult --value gpulab-server@%s", str(uid)) == "no"


@pytest.mark.parametrize(
    "command",
    [
        "systemctl stop ssh",
        "systemctl restart gpulab-proxy",
        "systemd-run --wait true",
        "cat /etc/shadow",
        "ls /root",
        "ls {home}",
    ],
)
def test_account_of_the_hub_has_no_privileges(host: Any, command: str, victim: str) -> None:
    """It gets what it needs from the launcher."""
    command = command.format(home=host.user(victim).home)
    assert host.run("setpriv --reuid=gpulab-hub --regid=gpulab-hub --init-groups sh -c %s </dev/null", command).rc != 0


@pytest.mark.parametrize("unit", list(LIMITS))
def test_exposure_is_small(host: Any, unit: str) -> None:
    """As systemd 252 counts it; elsewhere the list of properties decides."""
    if not host.check_output("systemctl --version").startswith("systemd 252"):
        pytest.skip("systemd counts differently here: see test_isolation_is_in_force")
    shown = host.run("systemd-analyze security --no-pager --offline=true /etc/systemd/system/%s.service", unit)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", shown.stdout + shown.stderr)
    assert found, shown
    assert float(found[1]) <= LIMITS[unit]


@pytest.mark.parametrize("unit", list(PROPERTIES))
def test_isolation_is_in_force(host: Any, unit: str) -> None:
    """What systemd has read of the units."""
    wanted = PROPERTIES[unit]
    shown = host.check_output("systemctl show %s " + " ".join(f"--property={name}" for name in wanted), unit)
    assert dict(line.partition("=")[::2] for line in shown.splitlines()) == wanted


def test_renewed_certificates_end_running_servers(host: Any, hub_user: HubUser, expected: Expected) -> None:
    """A server that trusts the authority before is stopped by the hub, and its user starts another one."""
    if not expected.disposable:
        pytest.skip("this is a live host: no server of a user is ended on it")
    hub_user.start_server()
    host.check_output("rm /var/lib/gpulab/jupyterhub/tls/authority.key && systemctl restart gpulab-proxy gpulab-hub")
    wait_for(lambda: host.file("/run/gpulab-hub/hub.sock").exists)
    wait_for(lambda: host.run("systemctl is-active %s", server_unit(host, hub_user.name)).rc != 0, 90)
    hub_user.start_server()
    assert hub_user.web.get(f"{hub_user.base}/user/{hub_user.name}/api", timeout=60).status_code == 200
