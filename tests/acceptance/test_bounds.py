"""What one user can consume is bounded: memory, shared memory, IPC objects, the journal, world-writable directories."""

from __future__ import annotations

import json
import shlex
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.expected import Expected
from tests.support.hub import HubUser, Kernel, server_unit
from tests.support.shell import Shell

NAMESPACE = "gpulab-users"
"""Journal of users' sessions and servers."""
NUMBERS = """
import json, os
print(json.dumps({
    "shm": os.stat("/dev/shm").st_dev, "tmp": os.stat("/tmp").st_dev, "ipc": os.readlink("/proc/self/ns/ipc"),
    "size": os.statvfs("/dev/shm").f_blocks, "files": os.statvfs("/dev/shm").f_files,
}))
"""
FILL = """
try:
    with open("/dev/shm/bounds", "wb") as file:
        for _ in range({megabytes}):
            file.write(bytes(2**20))
    print("all")
except OSError as error:
    print(error.strerror)
"""
SEGMENTS = """
import ctypes
libc = ctypes.CDLL(None)
print(sum(libc.shmget(0, 4096, 0o1600) >= 0 for _ in range(50)))
"""
WRITABLE = """
import os
for root, directories, _ in os.walk({top!r}):
    for each in directories:
        path = os.path.join(root, each)
        if not os.path.islink(path) and os.access(path, os.W_OK):
            print(os.stat(path).st_dev, path)
"""
TRY = """
try:
    open("/run/lock/bounds", "w").close()
    print("written")
except OSError as error:
    print(type(error).__name__)
"""
LOG = "import syslog; syslog.syslog({text!r})"
EAT = "block = bytearray(600 * 2**20); print(len(block))"
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


@pytest.fixture(scope="module")
def kernel(hub_user: HubUser, expected: Expected) -> Iterator[Kernel]:
    """Return the user's kernel."""
    with hub_user.kernel(expected.kernels["python"]) as started:
        yield started


@pytest.fixture(scope="module")
def other(neighbour: HubUser, expected: Expected) -> Iterator[Kernel]:
    """Return the kernel of another user."""
    with neighbour.kernel(expected.kernels["python"]) as started:
        yield started


def over_ssh(ssh: Shell, code: str) -> str:
    """Run a program of the user over SSH."""
    done = ssh.python(code)
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_mounts_of_server(host: Any, name: str, command: str) -> None:
    """Run a command as root in the mount namespace of a user's server."""
    pid = host.check_output("systemctl show --property MainPID --value %s", server_unit(host, name))
    host.check_output(f"nsenter --target {pid} --mount {command}")


def test_memory_of_all_users_leaves_the_host_some(host: Any, expected: Expected) -> None:
    """user.slice, which all slices of users are in, has a limit below the memory of the host."""
    limit, tasks = (
        host.check_output("systemctl show --property %s --value user.slice", name) for name in ("MemoryMax", "TasksMax")
    )
    total = int(host.check_output("awk '/^MemTotal/ {print $2}' /proc/meminfo")) * 1024
    assert 0.8 * total < int(limit) < 0.95 * total
    assert tasks != "infinity"


def test_limit_of_all_users_holds(host: Any, ssh: Shell, expected: Expected) -> None:
    """A process below its user's limit but above the limit of all users is killed; root still logs in."""
    if not expected.disposable:
        pytest.skip("this is a live host: no limit is lowered on it")
    groups = host.check_output("cat /proc/1/cgroup")
    file, field = ("memory/user.slice", "total_rss") if ":memory:" in groups else ("user.slice", "anon")
    # Without the cache of files, which the kernel gives up first.
    lines = host.check_output("cat /sys/fs/cgroup/%s/memory.stat", file).splitlines()
    used = int(dict(line.split() for line in lines)[field])
    assert over_ssh(ssh, EAT).strip() == str(600 * 2**20)
    try:
        host.check_output("systemctl set-property --runtime user.slice MemoryMax=%s", str(used + 300 * 2**20))
        assert ssh.python(EAT).returncode in (137, 247, 255)
        assert host.run("true").rc == 0
    finally:
        host.check_output("rm -rf /run/systemd/system.control/user.slice.d && systemctl daemon-reload")


def test_session_outside_of_its_slice_is_not_opened(host: Any, ssh: Shell) -> None:
    """The check that PAM requires passes in the user's own session alone."""
    check = f"PAM_TYPE=open_session PAM_USER={ssh.name} /etc/security/gpulab-slice"
    assert ssh.run(check).returncode == 0
    done = host.run(check)
    assert done.rc == 1
    assert "no resource limits" in done.stdout
    for service in ("sshd", "login", "cron", "atd"):
        path = f"/etc/pam.d/{service}"
        if host.file(path).exists:
            assert host.file(path).content_string.count("\nsession requisite pam_") == 1, path


def test_shared_memory_is_each_users_own(host: Any, kernel: Kernel, other: Kernel, ssh: Shell) -> None:
    """Two notebooks, SSH sessions and the host have four file systems, each with a size."""
    found = [json.loads(output) for output in (kernel.run(NUMBERS), other.run(NUMBERS), over_ssh(ssh, NUMBERS))]
    devices = [each["shm"] for each in found] + [int(host.check_output("stat -c %d /dev/shm"))]
    assert len(set(devices)) == 4
    assert all(each["size"] > 0 and each["files"] > 0 for each in found)


def test_full_shared_memory_does_not_affect_other_users(
    host: Any, hub_user: HubUser, kernel: Kernel, other: Kernel, expected: Expected
) -> None:
    """A notebook fills its own, which is made small; another user's still takes data."""
    if not expected.disposable:
        pytest.skip("this is a live host: no shared memory of users is made small on it")
    in_mounts_of_server(host, hub_user.name, "mount -o remount,size=20M /dev/shm")
    try:
        assert kernel.run(FILL.format(megabytes=40)).strip() == "No space left on device"
        assert other.run(FILL.format(megabytes=40)).strip() == "all"
    finally:
        for each in (kernel, other):
            each.run("import os; os.path.exists('/dev/shm/bounds') and os.unlink('/dev/shm/bounds')")
        in_mounts_of_server(host, hub_user.name, "mount -o remount,size=50% /dev/shm")


def test_sessions_of_one_user_share_memory(host: Any, ssh: Shell) -> None:
    """Two logins over SSH at the same time see the same /dev/shm, the host does not, and it is gone after the last."""
    with ssh.start("echo text >/dev/shm/bounds-shared; echo ready; cat") as first:
        assert first.stdout
        assert first.stdout.readline() == "ready\n"
        assert ssh.run("cat /dev/shm/bounds-shared").stdout == "text\n"
        assert not host.file("/dev/shm/bounds-shared").exists
        assert "shm" in host.check_output("ls /run/gpulab-users/%s", str(host.user(ssh.name).uid))
        first.communicate(timeout=30)


def test_ipc_objects_of_a_notebook_are_its_own(host: Any, kernel: Kernel, ssh: Shell) -> None:
    """Segments of a notebook do not count for the host's sessions and services."""
    places = [json.loads(output)["ipc"] for output in (kernel.run(NUMBERS), over_ssh(ssh, NUMBERS))]
    assert places[0] not in (places[1], host.check_output("readlink /proc/1/ns/ipc"))
    before = host.check_output("wc -l < /proc/sysvipc/shm")
    assert kernel.run(SEGMENTS).strip() == "50"
    assert host.check_output("wc -l < /proc/sysvipc/shm") == before


def test_directories_in_memory_that_users_can_write_are_bounded(host: Any, kernel: Kernel, ssh: Shell) -> None:
    """Nothing that a user can write is on the file system of /run, /dev or the host's own /tmp."""
    shared = {int(host.check_output("stat -c %%d %s", path)) for path in ("/run", "/run/lock", "/dev/shm", "/dev")}
    host_tmp = int(host.check_output("stat -c %d /tmp"))
    if host_tmp != int(host.check_output("stat -c %d /var/tmp")):
        shared.add(host_tmp)
    for run in (kernel.run, lambda code: over_ssh(ssh, code)):
        for top in ("/run", "/dev"):
            lines = [line.split(maxsplit=1) for line in run(WRITABLE.format(top=top)).splitlines()]
            assert [path for device, path in lines if int(device) in shared] == []
        assert json.loads(run(NUMBERS))["tmp"] not in shared
        assert run(TRY).strip() == "PermissionError"


def test_users_log_to_a_journal_of_their_own(host: Any, kernel: Kernel, ssh: Shell) -> None:
    """What a user logs cannot push records of the host out of its journal."""
    texts = [f"bounds {uuid.uuid4()}" for _ in range(2)]
    kernel.run(LOG.format(text=texts[0]))
    over_ssh(ssh, LOG.format(text=texts[1]))
    since = "--no-pager --output=cat --since=-5min"
    host.check_output(f"journalctl --sync; journalctl --namespace={NAMESPACE} --sync")
    for text in texts:
        assert text in host.check_output(f"journalctl {since} --namespace={NAMESPACE}")
        assert text not in host.check_output(f"journalctl {since}")
    shown = host.check_output("cat /etc/systemd/journald@%s.conf", NAMESPACE)
    assert "SystemMaxUse=" in shown


@contextmanager
def held(ssh: Shell, code: str) -> Iterator[int]:
    """Run a program of the user that holds resources until the end of the block; return how many."""
    with ssh.start(f"exec /usr/bin/python3 -c {shlex.quote(code)}") as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.communicate("\n", timeout=60)


def test_terminals_are_left_for_others(host: Any, ssh: Shell, other: Kernel) -> None:
    """A user takes more pseudo terminals than a host has by default; other users get theirs."""
    with held(ssh, TERMINALS) as taken:
        assert taken > 6200
        assert other.run("import os; print(len(os.openpty()))").strip() == "2"
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
