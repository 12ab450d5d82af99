# SPDX-License-Identifier: GPL-3.0-or-later
"""Users' programs cannot connect to the cloud's metadata, and have a limit of connections."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.expected import Expected
from tests.support.shell import Shell

METADATA = "169.254.169.254"
LISTEN = """
import socket, time
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(({address!r}, {port}))
server.listen(4096)
kept = []
while True:
    kept.append(server.accept())
"""
CONNECT = """
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (2000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
kept, error = [], ""
for _ in range({number}):
    client = socket.socket()
    client.settimeout(5)
    try:
        client.connect(({address!r}, {port}))
        kept.append(client)
    except OSError as failure:
        error = type(failure).__name__
print(len(kept), error, flush=True)
{hold}
"""


@pytest.fixture(scope="module", autouse=True)
def rules(host: Any, expected: Expected) -> str:
    """Return the loaded rules; skip where a site has switched them off."""
    if not expected.hub["network_rules"]:
        pytest.skip("gpulab_network_rules_enabled is false for this host: its network was not tested")
    return str(host.check_output("nft list table inet gpulab"))


@contextmanager
def listener(host: Any, address: str, port: int) -> Iterator[None]:
    """Listen on an address of the host until the end of the block."""
    unit = f"verify-listener-{port}"
    code = LISTEN.format(address=address, port=port)
    host.check_output("systemd-run --quiet --unit %s /usr/bin/python3 -c %s", unit, code)
    try:
        until = time.monotonic() + 60
        while host.run("ss -Hltn 'src %s and sport = %s' | grep -q .", address, str(port)).rc != 0:
            assert time.monotonic() < until, f"nothing listens on {address}:{port}"
            time.sleep(0.2)
        yield
    finally:
        host.run("systemctl stop %s", unit)


def connect(host: Any, name: str, address: str, port: int, number: int = 1) -> str:
    """Connect as an account; return the number of connections and the name of the last error."""
    code = CONNECT.format(address=address, port=port, number=number, hold="")
    user = host.user(name)
    argv = "setpriv --reuid=%s --regid=%s --clear-groups /usr/bin/python3 -c %s"
    return str(host.check_output(argv, str(user.uid), str(user.gid), code)).strip()


@pytest.fixture(scope="module")
def metadata(host: Any, expected: Expected) -> Iterator[None]:
    """Add the address of the metadata service to the host's loopback; on disposable hosts only."""
    if not expected.disposable:
        pytest.skip("this is a live host: it gets no address of a cloud")
    host.check_output("ip address add %s/32 dev lo", METADATA)
    yield
    host.check_output("ip address del %s/32 dev lo", METADATA)


@pytest.mark.usefixtures("metadata")
def test_metadata_is_closed_to_users_and_open_to_the_system(host: Any, ssh: Shell, expected: Expected) -> None:
    """By uid: over SSH as in every other process of the user; name service and time stay open."""
    if expected.hub["cloud_metadata"]:
        pytest.skip("gpulab_cloud_metadata_enabled is true for this host")
    with listener(host, METADATA, 80), listener(host, METADATA, 53):
        for name in ("root", "gpulab-hub"):
            assert connect(host, name, METADATA, 80) == "1"
        assert connect(host, ssh.name, METADATA, 80) == "0 ConnectionRefusedError"
        code = CONNECT.format(address=METADATA, port=80, number=1, hold="")
        assert ssh.python(code).stdout.strip() == "0 ConnectionRefusedError"
        assert connect(host, ssh.name, METADATA, 53) == "1"
    counter = re.search(r"packets (\d+)", host.check_output("nft list counter inet gpulab metadata_rejected"))
    assert counter
    assert int(counter[1]) >= 2


@pytest.mark.parametrize("address", ["fd00:ec2::254", "fd20:ce::254", "169.254.170.2", "168.63.129.16"])
def test_addresses_of_other_clouds_are_closed_too(rules: str, expected: Expected, address: str) -> None:
    """As the kernel has them."""
    if expected.hub["cloud_metadata"]:
        pytest.skip("gpulab_cloud_metadata_enabled is true for this host")
    assert address in rules


def test_connections_to_services_are_limited_per_user(host: Any, ssh: Shell, expected: Expected, rules: str) -> None:
    """One user's connections end at the limit; another user and root connect meanwhile."""
    if not expected.disposable:
        pytest.skip("this is a live host: its services are not flooded")
    limits = re.findall(r"ct count over (\d+)", rules)
    most = int(limits[0])
    other = next(name for name in expected.present if name != ssh.name)
    address = host.interface("eth0").addresses[0] if host.interface("eth0").exists else "127.0.0.1"
    for target in ("127.0.0.1", address):
        code = CONNECT.format(address=target, port=expected.hub["port"], number=most + 50, hold="sys.stdin.read()")
        with ssh.start("/usr/bin/python3 -c '" + code.replace("'", '"') + "'") as held:
            assert held.stdout
            number, error = held.stdout.readline().split()
            assert most <= int(number) <= most + 1
            assert error == "ConnectionRefusedError"
            for name in (other, "root"):
                assert connect(host, name, target, expected.hub["port"]) == "1"
            held.communicate(timeout=30)
        assert connect(host, ssh.name, target, expected.hub["port"]) == "1"


def test_all_connections_are_limited_per_user(host: Any, expected: Expected, rules: str) -> None:
    """Also those to programs of other users, and packets without connections; shown with a lower limit."""
    assert re.findall(r"ct count over (\d+)", rules) == ["200", "16384"]
    if not expected.disposable:
        pytest.skip("this is a live host: its limits are not lowered")
    one, other = expected.present[:2]
    host.check_output("sed 's/over 16384/over 40/' /etc/gpulab/network.nft | nft -f -")
    try:
        with listener(host, "127.0.0.1", 45678):
            assert connect(host, one, "127.0.0.1", 45678, 60) in (
                "40 ConnectionRefusedError",
                "41 ConnectionRefusedError",
            )
            assert connect(host, other, "127.0.0.1", 45678, 30) == "30"
    finally:
        host.check_output("systemctl reload gpulab-network")


def test_addresses_of_servers_are_closed_to_users(host: Any, expected: Expected) -> None:
    """So that a user cannot hold a neighbour's server's connections, or time its answers."""
    if not expected.disposable:
        pytest.skip("this is a live host: no program is started on it")
    with listener(host, "127.0.3.240", 45679):
        assert connect(host, expected.present[0], "127.0.3.240", 45679) == "0 ConnectionRefusedError"
        for name in ("gpulab-hub", "gpulab-proxy"):
            assert connect(host, name, "127.0.3.240", 45679) == "1"


@pytest.mark.parametrize("action", ["restart", "reload", "stop"])
def test_rules_stay_when_nftables_is_used_too(host: Any, expected: Expected, action: str) -> None:
    """Its unit removes all tables; ours does not touch other tables."""
    if not expected.disposable:
        pytest.skip("this is a live host: its firewall is not restarted")
    host.check_output("systemctl start nftables && nft add table inet verify-other")
    host.check_output("systemctl %s nftables", action)
    assert "metadata_rejected" in host.check_output("nft list table inet gpulab")
    host.check_output("nft add table inet verify-other && systemctl reload gpulab-network")
    assert "verify-other" in host.check_output("nft list tables")
    host.check_output("nft delete table inet verify-other; systemctl stop nftables")


def test_rules_are_loaded_at_boot(host: Any) -> None:
    """Before users log in."""
    assert host.service("gpulab-network").is_enabled
    before = host.check_output("systemctl show --property Before --value gpulab-network")
    assert "systemd-user-sessions.service" in before.split()
