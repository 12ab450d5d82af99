# SPDX-License-Identifier: GPL-3.0-or-later
"""Users cannot take the places of the hub and the proxy: their sockets, their ports, their directories."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.expected import Expected
from tests.support.hosts import main_pid, wait_for
from tests.support.hub import HubUser, server_unit
from tests.support.shell import Shell

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
BIND = """
import os, socket
taken = set()
places = {places!r}
while not ended():
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


def test_users_can_write_only_in_their_own_places(
    host: Any, run_as_attacker: Callable[[str], str], neighbour: HubUser
) -> None:
    """No directory that a service reads, links into or fills up is a user's, also while servers run."""
    assert run_as_attacker(WRITABLE.format(skip=OWN_PLACES)).split() == []


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
    server = server_unit(host, hub_user.name)
    pid = main_pid(host, server)
    with ssh.watching(BIND.format(places=[*places, ["127.0.0.1", 8001], ["127.0.0.1", 8081]])) as result:
        host.check_output("systemctl restart gpulab-hub gpulab-proxy")
        wait_for(lambda: host.file(places[0]).exists and host.file(places[1]).exists)
        taken = result()
    assert not [place for place in places if place in taken]
    wait_for(lambda: hub_user.web.get(f"{hub_user.base}/user/{hub_user.name}/api", timeout=20).status_code == 200)
    assert main_pid(host, server) == pid


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


def test_renewed_certificates_end_running_servers(host: Any, hub_user: HubUser, expected: Expected) -> None:
    """The hub stops a server that trusts the previous certificates, and its user starts another one."""
    if not expected.disposable:
        pytest.skip("this is a live host: no server of a user is ended on it")
    hub_user.start_server()
    host.check_output("rm /var/lib/gpulab/jupyterhub/tls/authority.key && systemctl restart gpulab-proxy gpulab-hub")
    wait_for(lambda: host.file("/run/gpulab-hub/hub.sock").exists)
    wait_for(lambda: host.run("systemctl is-active %s", server_unit(host, hub_user.name)).rc != 0, 90)
    hub_user.start_server()
    assert hub_user.web.get(f"{hub_user.base}/user/{hub_user.name}/api", timeout=60).status_code == 200
