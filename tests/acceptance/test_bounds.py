# SPDX-License-Identifier: GPL-3.0-or-later
"""What one user can consume is bounded: memory, shared memory, IPC objects, the journal, world-writable directories."""

from __future__ import annotations

import json
import uuid
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


def test_shared_memory_is_each_users_own(host: Any, kernel: Kernel, neighbours_kernel: Kernel, ssh: Shell) -> None:
    """Two notebooks, SSH sessions and the host have four file systems, each with a size."""
    found = [
        json.loads(output) for output in (kernel.run(NUMBERS), neighbours_kernel.run(NUMBERS), over_ssh(ssh, NUMBERS))
    ]
    devices = [each["shm"] for each in found] + [int(host.check_output("stat -c %d /dev/shm"))]
    assert len(set(devices)) == 4
    assert all(each["size"] > 0 and each["files"] > 0 for each in found)


def test_full_shared_memory_does_not_affect_other_users(
    host: Any, hub_user: HubUser, kernel: Kernel, neighbours_kernel: Kernel, expected: Expected
) -> None:
    """A notebook fills its own, which is made small; another user's still takes data."""
    if not expected.disposable:
        pytest.skip("this is a live host: no shared memory of users is made small on it")
    in_mounts_of_server(host, hub_user.name, "mount -o remount,size=20M /dev/shm")
    try:
        assert kernel.run(FILL.format(megabytes=40)).strip() == "No space left on device"
        assert neighbours_kernel.run(FILL.format(megabytes=40)).strip() == "all"
    finally:
        for each in (kernel, neighbours_kernel):
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
