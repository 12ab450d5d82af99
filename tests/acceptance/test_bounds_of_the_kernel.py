# SPDX-License-Identifier: GPL-3.0-or-later
"""One user cannot use up what the kernel and sshd have for all: IPC objects, terminals, queues, connections."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.hub import Kernel
from tests.support.shell import Shell

NUMBERS = """
import json, os
print(json.dumps({
    "shm": os.stat("/dev/shm").st_dev, "tmp": os.stat("/tmp").st_dev, "ipc": os.readlink("/proc/self/ns/ipc"),
    "size": os.statvfs("/dev/shm").f_blocks, "files": os.statvfs("/dev/shm").f_files,
}))
"""
SEGMENTS = """
import ctypes
libc = ctypes.CDLL(None)
print(sum(libc.shmget(0, 4096, 0o1600) >= 0 for _ in range(50)))
"""
TERMINALS = """
import os, resource
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
taken = []
try:
    for _ in range(min(4200, limit // 2 - 100)):
        taken += os.openpty()
except OSError as error:
    print(error.strerror)
print(len(taken), flush=True)
input()
"""
QUEUES = """
import ctypes, os, sys
libc = ctypes.CDLL("librt.so.1")
attributes = (ctypes.c_long * 8)(0, 1, 1)
def make(number):
    return libc.mq_open(b"/bounds-%d-%d" % (os.getuid(), number), os.O_CREAT | os.O_RDWR, 0o600, attributes) >= 0
made = sum(map(make, range({number})))
print(made, flush=True)
sys.stdin.read()
for number in range(made):
    libc.mq_unlink(b"/bounds-%d-%d" % (os.getuid(), number))
"""
FORGE = """
import syslog
open("/proc/self/comm", "w").write("sshd")
syslog.openlog("sshd", syslog.LOG_PID, syslog.LOG_AUTH)
for _ in range(30):
    syslog.syslog("Failed password for root from 203.0.113.9 port 4711 ssh2")
"""


def over_ssh(ssh: Shell, code: str) -> str:
    """Run a program of the user over SSH."""
    done = ssh.python(code)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ipc_objects_of_a_notebook_are_its_own(host: Any, kernel: Kernel, ssh: Shell) -> None:
    """Segments of a notebook do not count for the host's sessions and services."""
    places = [json.loads(output)["ipc"] for output in (kernel.run(NUMBERS), over_ssh(ssh, NUMBERS))]
    assert places[0] not in (places[1], host.check_output("readlink /proc/1/ns/ipc"))
    before = host.check_output("wc -l < /proc/sysvipc/shm")
    assert kernel.run(SEGMENTS).strip() == "50"
    assert host.check_output("wc -l < /proc/sysvipc/shm") == before


@contextmanager
def held(ssh: Shell, code: str) -> Iterator[int]:
    """Run a program of the user that holds resources until the end of the block; return how many."""
    with ssh.start(f"exec /usr/bin/python3 -c {shlex.quote(code)}") as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.communicate("\n", timeout=60)


def test_terminals_are_left_for_others(host: Any, ssh: Shell, neighbours_kernel: Kernel) -> None:
    """A user takes more pseudo terminals than a host has by default; other users get theirs."""
    with held(ssh, TERMINALS) as taken:
        assert taken > 6200
        assert neighbours_kernel.run("import os; print(len(os.openpty()))").strip() == "2"
        assert host.run("script --quiet --command true /dev/null").rc == 0


def test_message_queues_are_left_for_others(host: Any, ssh: Shell) -> None:
    """A user takes more POSIX message queues than a host has by default; other users get theirs."""
    with held(ssh, QUEUES.format(number=300)) as taken:
        assert taken > 256
        code = shlex.quote(QUEUES.format(number=1))
        shown = host.check_output(f"setpriv --reuid=nobody --regid=nogroup --clear-groups python3 -c {code} </dev/null")
        assert shown == "1"


def test_sshd_limits_connections_of_strangers(host: Any) -> None:
    """Per address, so that one client does not block all others; a class behind one address can log in."""
    found = dict(line.partition(" ")[::2] for line in host.check_output("/usr/sbin/sshd -T").splitlines())
    assert int(found["persourcemaxstartups"]) == 60
    assert found["persourcenetblocksize"] == "32:64"
    assert found["maxstartups"] == "200:30:600"
    assert int(found["logingracetime"]) == 60


def test_user_cannot_ban_an_address(host: Any, ssh: Shell) -> None:
    """Forged log lines of failed logins are ignored."""
    if host.run("fail2ban-client ping").rc != 0:
        pytest.skip("no fail2ban on this host: sshd counts by itself, without the journal")
    over_ssh(ssh, FORGE)
    host.check_output("journalctl --sync && sleep 3")
    assert "203.0.113.9" not in host.check_output("fail2ban-client get sshd banip")
    assert host.check_output("fail2ban-client get sshd journalmatch").count("_SYSTEMD_UNIT=ssh.service _UID=0") == 1
