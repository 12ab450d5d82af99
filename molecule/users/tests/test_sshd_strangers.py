# SPDX-License-Identifier: GPL-3.0-or-later
"""Strangers at sshd keep no user out, and sessions that would have no limits are not opened."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.shell import Shell
from tests.support.users import UsersHost

HOST, STRANGER, CLASS = "198.51.100.1", "198.51.100.2", "198.51.100.3"
"""Addresses of documentation (RFC 5737), in a network namespace on the host: sshd sees them as foreign ones."""
NETWORK = f"""
ip netns add strangers
ip link add gpl-host type veth peer name gpl-out netns strangers
ip address add {HOST}/24 dev gpl-host
ip link set gpl-host up
ip -n strangers address add {STRANGER}/24 dev gpl-out
ip -n strangers address add {CLASS}/24 dev gpl-out
ip -n strangers link set gpl-out up
"""
HALF_OPEN = """
import select, socket, sys
clients = []
for _ in range(300):
    client = socket.socket()
    client.bind((sys.argv[1], 0))
    client.settimeout(5)
    try:
        client.connect((sys.argv[2], 22))
        clients.append(client)
    except OSError:
        client.close()
def served(client):
    try:
        return client.recv(8) == b"SSH-2.0-"
    except OSError:
        return False
print(sum(map(served, clients)), flush=True)
sys.stdin.read()
"""
SSH = "ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=20"
GUESS = f"""
printf '#!/bin/sh\\necho wrong\\n' > /run/gpulab-guess && chmod 700 /run/gpulab-guess
export SSH_ASKPASS=/run/gpulab-guess SSH_ASKPASS_REQUIRE=force
for number in $(seq 12); do
  timeout 60 ip netns exec strangers {SSH} -b {STRANGER} -o PubkeyAuthentication=no grace@{HOST} true 2>&1 </dev/null &
done
wait
rm /run/gpulab-guess
"""


@pytest.fixture(scope="module")
def strangers(world: UsersHost) -> Iterator[None]:
    """Give the host two foreign addresses, and grace the test's key."""
    world.users = [world.account("grace", groups=["class-2026"]), {"name": "ada", "admin": True}]
    world.sync()
    assert world.root(f"set -e; {NETWORK}").returncode == 0
    yield
    world.root("ip netns delete strangers; fail2ban-client unban --all")


@contextmanager
def half_open(world: UsersHost, address: str) -> Iterator[int]:
    """Hold 300 connections to sshd that never log in; give how many of them sshd serves."""
    shell = Shell(world.connection, "root", Path(world.connection["key"]))
    with shell.start(f"exec ip netns exec strangers python3 -c '{HALF_OPEN}' {address} {HOST}") as holder:
        assert holder.stdin
        assert holder.stdout
        try:
            yield int(holder.stdout.readline())
        finally:
            holder.stdin.close()
            holder.stdin = None
            holder.communicate(timeout=60)


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition; return whether it held within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(1)
    return True


def reachable(world: UsersHost, address: str = STRANGER) -> bool:
    """Return whether sshd answers a foreign address."""
    code = f"import socket; socket.create_connection(('{HOST}', 22), 5, ('{address}', 0)).recv(3)"
    return world.root(f'ip netns exec strangers python3 -c "{code}"').returncode == 0


@pytest.mark.usefixtures("strangers")
def test_half_open_connections_keep_nobody_out(world: UsersHost) -> None:
    """One address has 60 places; while it holds them all, 12 of 12 logins from another address succeed."""
    with half_open(world, STRANGER) as served:
        assert 50 <= served <= 60
        began = time.monotonic()
        with ThreadPoolExecutor(12) as pool:
            logins = list(pool.map(lambda _: world.shell("grace").run("echo in", 60).stdout, range(12)))
        assert logins == ["in\n"] * 12
        assert time.monotonic() - began < 45


@pytest.mark.usefixtures("strangers")
def test_class_behind_one_address_can_log_in(world: UsersHost) -> None:
    """Forty logins at once from one address: all come in."""
    world.root("install -m 600 /dev/stdin /run/gpulab-class <<'E'\n" + world.key.read_text() + "E")
    login = f"ip netns exec strangers {SSH} -b {CLASS} -i /run/gpulab-class grace@{HOST} echo in"
    done = world.root(f"for number in $(seq 40); do {login} </dev/null & done; wait; rm /run/gpulab-class")
    assert done.stdout.split() == ["in"] * 40, done.stderr


@pytest.mark.usefixtures("strangers")
def test_wrong_passwords_close_an_address_out_and_lock_no_account(world: UsersHost) -> None:
    """After 20 in a minute the address gets no new connection for a minute; the account logs in from elsewhere."""
    assert reachable(world)
    world.root("install -m 600 /dev/stdin /run/gpulab-class <<'E'\n" + world.key.read_text() + "E")
    login = f"exec ip netns exec strangers {SSH} -b {STRANGER} -i /run/gpulab-class grace@{HOST} 'echo in; cat'"
    # From the very address that is closed out.
    with Shell(world.connection, "root", Path(world.connection["key"])).start(login) as session:
        assert session.stdout
        assert session.stdout.readline() == "in\n"
        shown = world.root(GUESS).stdout
        assert "Permission denied" in shown
        assert until(lambda: not reachable(world), 20)
        assert reachable(world, CLASS)
        assert world.shell("grace").run("echo in").stdout == "in\n"
        assert world.hub_user("grace").name == "grace"
        assert world.root("passwd --status grace").stdout.split()[1] == "P"
        assert until(lambda: reachable(world), 120)
        output, _ = session.communicate("still here\n", timeout=20)
        assert output == "still here\n"


@pytest.mark.usefixtures("strangers")
def test_reload_of_sshd_ends_no_connection(world: UsersHost) -> None:
    """As a converge does it when a setting changes."""
    with world.shell("grace").start("echo in; cat") as session:
        assert session.stdout
        assert session.stdout.readline() == "in\n"
        assert world.root("systemctl try-reload-or-restart ssh.service").returncode == 0
        assert session.communicate("still here\n", timeout=20)[0] == "still here\n"
    # For some milliseconds sshd does not listen.
    assert until(lambda: world.root("true").returncode == 0, 20)


def rejected(world: UsersHost) -> subprocess.CompletedProcess[str]:
    """Log in as grace where no session can be made, and as root; give what grace got."""
    done = world.shell("grace").run("cat /proc/self/cgroup")
    assert world.root("echo in").stdout == "in\n"
    return done


@pytest.mark.usefixtures("strangers")
def test_session_without_logind_is_not_opened(world: UsersHost) -> None:
    """No login of a member runs outside of its slice; root always comes in, and afterwards all is well."""
    world.root("systemctl mask --runtime --now systemd-logind.service")
    try:
        done = rejected(world)
    finally:
        world.root("systemctl unmask --runtime systemd-logind.service; systemctl start systemd-logind.service")
    assert done.returncode != 0
    assert "0::" not in done.stdout
    assert "no resource limits" in done.stdout + done.stderr
    assert until(lambda: "user-" in world.shell("grace").run("cat /proc/self/cgroup").stdout, 60)


@pytest.mark.usefixtures("strangers")
def test_session_with_a_full_run_is_not_opened(world: UsersHost) -> None:
    """A session that logind cannot record is not opened."""
    small = "mount -o remount,size=$(df --output=used /run | tail -1)k /run; head -c 1M /dev/zero >/run/gpulab-filler"
    world.root(f"{small}; true")
    try:
        done = rejected(world)
    finally:
        world.root("rm -f /run/gpulab-filler; mount -o remount,size=50% /run")
    groups = done.stdout
    assert "user-" in groups or "no resource limits" in groups + done.stderr
    assert until(lambda: "user-" in world.shell("grace").run("cat /proc/self/cgroup").stdout, 60)
