# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of users: which processes are theirs, and which accounts are protected."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.users import processes
from ansible_collections.gpulab.core.plugins.modules import user_sessions

LEADER_ENDS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(30,)).start()
print("ready", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""
STATUS = "State:\tS (sleeping)\nPPid:\t1\nUid:\t{uids}\nGid:\t5 5 5 5\nGroups:\t5 1100 \n"


def write_process(proc: Path, pid: int, uids: str) -> None:
    """Write an entry of /proc."""
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "status").write_text(STATUS.format(uids=uids))


def test_processes_of_a_user_are_found() -> None:
    """By their owner; a process that has ended is not listed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in user_sessions.processes(os.getuid())
        assert child.pid not in user_sessions.processes(4242424)
        child.kill()
    assert child.pid not in user_sessions.processes(os.getuid())


def test_sessions_of_system_accounts_are_never_ended() -> None:
    """A wrong name must not stop the host."""
    uids = {"root": 0, "daemon": 1, "ada": 1001, "deploy": 1002, "nobody": 65534}
    entries = {name: pwd.struct_passwd((name, "x", uid, uid, "", "/", "/bin/sh")) for name, uid in uids.items()}
    assert user_sessions.protected([*entries, "gone"], entries, {0, 1002}) == [
        "root",
        "daemon",
        "deploy",
        "nobody",
    ]


def test_process_whose_first_thread_has_ended_is_found() -> None:
    """The kernel shows it as a zombie, and its other threads go on."""
    with subprocess.Popen([sys.executable, "-c", LEADER_ENDS], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        ended = threading.Event()
        for _attempt in range(50):
            if "Z" in Path(f"/proc/{child.pid}/status").read_text().split("State:")[1][:5]:
                break
            ended.wait(0.1)
        try:
            assert child.pid in user_sessions.processes(os.getuid())
        finally:
            child.kill()
    assert child.pid not in user_sessions.processes(os.getuid())


@pytest.mark.parametrize("uids", ["1001 7 7 7", "7 1001 7 7", "7 7 1001 7", "7 7 7 1001", "100005 100005 7 7"])
def test_process_with_any_of_the_users_uids_is_found(tmp_path: Path, uids: str) -> None:
    """A saved uid is enough to come back to it, and so is a subordinate one of a container without root."""
    write_process(tmp_path, 11, uids)
    write_process(tmp_path, 12, "7 7 7 7")
    more = user_sessions.subordinate_uids("eve", "ada:200000:65536\neve:100000:65536\neve:x:1\neve:1:65536\n")
    assert user_sessions.processes(1001, more, tmp_path) == [11]


def test_holders_of_revoked_memberships_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A membership counts for its user alone: another user may be in the same group."""
    write_process(tmp_path, 11, "1001 1001 1001 1001")
    write_process(tmp_path, 12, "1002 1002 1002 1002")
    monkeypatch.setattr(user_sessions, "all_processes", lambda: processes.processes(tmp_path))
    revoked = [{"group": "class", "name": "eve"}, {"group": "rig", "name": "ada"}, {"group": "gone", "name": "gone"}]
    accounts, gids = {"eve": 1001, "ada": 1002}, {"class": 1100, "rig": 1200}
    assert user_sessions.holders(revoked, accounts, gids) == {"eve"}


def test_files_of_a_user_in_memory_are_found(tmp_path: Path) -> None:
    """Files in memory by owner, own directories by name, IPC by owner and by maker."""
    shm, tmp = tmp_path / "shm", tmp_path / "instances" / "tmp"
    for directory in (shm, tmp / "eve", tmp / "ada"):
        directory.mkdir(parents=True)
    (shm / "sem.x").write_text("")
    (shm / "link").symlink_to("/etc")
    own = os.getuid()
    assert user_sessions.leftover_files("eve", own, tmp.parent, [shm]) == [tmp / "eve", shm / "link", shm / "sem.x"]
    assert user_sessions.leftover_files("joe", own + 1, tmp.parent, [shm, tmp_path / "missing"]) == []
    (tmp_path / "sysvipc").mkdir()
    (tmp_path / "sysvipc" / "shm").write_text(
        "key shmid perms size cpid lpid nattch uid gid cuid cgid\n"
        "0 7 600 1 1 1 0 1001 1 1001 1\n0 8 600 1 1 1 0 0 0 0 0\n"
    )
    (tmp_path / "sysvipc" / "msg").write_text("key msqid perms uid gid cuid cgid\n0 9 600 0 0 1001 0\n")
    found = user_sessions.owned_ipc(1001, tmp_path)
    assert found == [["ipcrm", "--shmem-id", "7"], ["ipcrm", "--queue-id", "9"]]
