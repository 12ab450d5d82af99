"""What leavers leave behind has no power, and none of it goes on running."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ansible_collections.gpulab.core.plugins.module_utils import processes
from ansible_collections.gpulab.core.plugins.modules import (
    account_state,
    archived_home,
    end_sessions,
    privileged_files,
)

LEADER_ENDS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(30,)).start()
print("ready", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""
STATUS = "State:\tS (sleeping)\nPPid:\t1\nUid:\t{uids}\nGid:\t5 5 5 5\nGroups:\t5 1100 \n"


def entry(name: str, uid: int, home: Path) -> pwd.struct_passwd:
    """Make a line of passwd."""
    return pwd.struct_passwd((name, "x", uid, uid, "", str(home), "/bin/bash"))


def a_process(proc: Path, pid: int, uids: str) -> None:
    """Make an entry of /proc."""
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "status").write_text(STATUS.format(uids=uids))


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
            assert child.pid in end_sessions.processes(os.getuid())
        finally:
            child.kill()
    assert child.pid not in end_sessions.processes(os.getuid())


@pytest.mark.parametrize("uids", ["1001 7 7 7", "7 1001 7 7", "7 7 1001 7", "7 7 7 1001", "100005 100005 7 7"])
def test_process_with_any_of_the_users_uids_is_found(tmp_path: Path, uids: str) -> None:
    """A saved uid is enough to come back to it, and so is a subordinate one of a container without root."""
    a_process(tmp_path, 11, uids)
    a_process(tmp_path, 12, "7 7 7 7")
    more = end_sessions.subordinate_uids("eve", "ada:200000:65536\neve:100000:65536\neve:x:1\neve:1:65536\n")
    assert end_sessions.processes(1001, more, tmp_path) == [11]


def test_processes_that_hold_a_revoked_group_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accounts that are in the group, or whose own group it is, are left alone."""
    names = {"eve": 1001, "ada": 1002, "joe": 1100}
    for name, uid in names.items():
        a_process(tmp_path, uid, f"{uid} {uid} {uid} {uid}")
        (tmp_path / name).mkdir()
    monkeypatch.setattr(account_state, "processes", lambda: processes.processes(tmp_path))
    entries = {name: entry(name, uid, tmp_path) for name, uid in names.items()}
    assert account_state.outdated(names, entries, {1100: {"ada"}}) == {"eve"}
    assert account_state.outdated(names, entries, {}) == set()


def test_holders_of_revoked_memberships_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A membership counts for its user alone: another user may be in the same group."""
    a_process(tmp_path, 11, "1001 1001 1001 1001")
    a_process(tmp_path, 12, "1002 1002 1002 1002")
    monkeypatch.setattr(end_sessions, "all_processes", lambda: processes.processes(tmp_path))
    revoked = [{"group": "class", "name": "eve"}, {"group": "rig", "name": "ada"}, {"group": "gone", "name": "gone"}]
    accounts, gids = {"eve": 1001, "ada": 1002}, {"class": 1100, "rig": 1200}
    assert end_sessions.holders(revoked, accounts, gids) == {"eve"}


def test_home_that_root_cannot_read_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount of the user's own gives root an error: the account counts as it is, and the home is named."""
    home = entry("eve", 1001, tmp_path / "eve")

    def fails(path: Path, **_more: bool) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", fails)
    monkeypatch.setattr(Path, "lstat", fails)
    assert account_state.home_state(tmp_path / "eve") == "Permission denied"
    assert not account_state.differs({"name": "eve"}, home, None, {}, "/bin/bash")
    assert account_state.open_homes(["eve"], {"eve": home}) == {}
    found, problems = archived_home.homes(["eve"], [home])
    assert found == {}
    assert "eve: Permission denied. Unmount it" in problems[0]


def test_what_a_user_keeps_in_memory_is_found(tmp_path: Path) -> None:
    """Files in memory by owner, own directories by name, IPC by owner and by maker."""
    shm, tmp = tmp_path / "shm", tmp_path / "instances" / "tmp"
    for directory in (shm, tmp / "eve", tmp / "ada"):
        directory.mkdir(parents=True)
    (shm / "sem.x").write_text("")
    (shm / "link").symlink_to("/etc")
    own = os.getuid()
    assert end_sessions.left_files("eve", own, tmp.parent, [shm]) == [tmp / "eve", shm / "link", shm / "sem.x"]
    assert end_sessions.left_files("joe", own + 1, tmp.parent, [shm, tmp_path / "missing"]) == []
    (tmp_path / "sysvipc").mkdir()
    (tmp_path / "sysvipc" / "shm").write_text(
        "key shmid perms size cpid lpid nattch uid gid cuid cgid\n"
        "0 7 600 1 1 1 0 1001 1 1001 1\n0 8 600 1 1 1 0 0 0 0 0\n"
    )
    (tmp_path / "sysvipc" / "msg").write_text("key msqid perms uid gid cuid cgid\n0 9 600 0 0 1001 0\n")
    found = end_sessions.owned_ipc(1001, tmp_path)
    assert found == [["ipcrm", "--shmem-id", "7"], ["ipcrm", "--queue-id", "9"]]


def privileged(root: Path) -> dict[str, Path]:
    """Make files with power and without, and what could lead out of the directory."""
    deep = root / "a\nb" / "c"
    deep.mkdir(parents=True)
    (root / "shared").mkdir()
    (root / "shared").chmod(0o2770)
    files = {name: deep / name for name in ("setuid", "setgid", "plain")}
    odd = Path(os.fsdecode(bytes(root) + b"/\xff\xfe"))
    files["odd"] = odd
    for path in files.values():
        path.write_text("")
    for name, mode in {"setuid": 0o4755, "setgid": 0o2775, "odd": 0o6711, "plain": 0o755}.items():
        files[name].chmod(mode)
    return files


def test_power_is_taken_and_the_rest_stays(tmp_path: Path) -> None:
    """Directories keep their bit, which shares a directory; nothing outside is touched by links."""
    outside = tmp_path / "outside"
    outside.write_text("")
    outside.chmod(0o4755)
    root = tmp_path / "home"
    root.mkdir()
    files = privileged(root)
    (root / "link").symlink_to(outside)
    (root / "up").symlink_to(tmp_path)
    checked, problems = privileged_files.cleaned(root, [], [], True, 60, True)
    assert (len(checked), problems) == (3, [])
    found, problems = privileged_files.cleaned(root, [], [], True, 60, False)
    assert found == checked
    assert problems == []
    assert any(r"\xff\xfe" in path for path in found)
    modes = {name: path.stat().st_mode & 0o7777 for name, path in files.items()}
    assert modes == {"setuid": 0o755, "setgid": 0o775, "odd": 0o711, "plain": 0o755}
    assert (root / "shared").stat().st_mode & 0o7777 == 0o2770
    assert outside.stat().st_mode & 0o7777 == 0o4755
    assert privileged_files.cleaned(root, [], [], True, 60, False) == ([], [])


def test_common_directories_lose_only_what_is_the_users(tmp_path: Path) -> None:
    """A user's files, and files with the bit of a revoked group."""
    files = privileged(tmp_path)
    stranger, own, group = os.getuid() + 1, os.getuid(), os.getgid()
    assert privileged_files.cleaned(tmp_path, [stranger], [group + 1], False, 60, False) == ([], [])
    found, _problems = privileged_files.cleaned(tmp_path, [], [group], False, 60, False)
    assert len(found) == 2
    assert files["setuid"].stat().st_mode & 0o7777 == 0o4755
    found, _problems = privileged_files.cleaned(tmp_path, [own], [], False, 60, False)
    assert [path.rpartition("/")[2] for path in found] == ["setuid"]


def test_file_that_is_exchanged_meanwhile_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a directory that became a link, nor the file itself."""
    root, target = tmp_path / "home", tmp_path / "target"
    for directory in (root, target):
        directory.mkdir()
        (directory / "file").write_text("")
        (directory / "file").chmod(0o4755)
    (root / "link").symlink_to(target)
    (root / "to-file").symlink_to(target / "file")
    names = [bytes(root / name) for name in ("link/file", "to-file", "gone/file")]
    monkeypatch.setattr(privileged_files, "search", lambda *_arguments: (names, ""))
    assert privileged_files.cleaned(root, [], [], True, 60, False) == ([], [])
    assert (target / "file").stat().st_mode & 0o7777 == 0o4755


def test_very_deep_directories_are_searched(tmp_path: Path) -> None:
    """Paths that are longer than the kernel takes in one piece."""
    root = tmp_path / "home"
    root.mkdir()
    deep = os.open(root, os.O_RDONLY)
    for _level in range(1200):
        os.mkdir("d" * 30, dir_fd=deep)
        deeper = os.open("d" * 30, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = deeper
    os.close(os.open("setuid", os.O_CREAT | os.O_WRONLY, 0o755, dir_fd=deep))
    os.chmod("setuid", 0o4755, dir_fd=deep)  # noqa: S103  # a marker below the test's own directory
    found, problems = privileged_files.cleaned(root, [], [], True, 60, False)
    mode = os.stat("setuid", dir_fd=deep).st_mode & 0o7777
    os.close(deep)
    # pytest's own cleanup stops at the recursion limit.
    subprocess.run(["rm", "-rf", str(root)], check=True)
    assert (len(found), problems, mode) == (1, [], 0o755)
    assert len(found[0]) < 310


def test_search_has_a_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the directory."""
    monkeypatch.setattr(subprocess, "run", lambda argv, **_more: subprocess.CompletedProcess(argv, 124, b"", b""))
    assert privileged_files.cleaned(tmp_path, [], [], True, 7, False)[1] == [f"{tmp_path}: searched for 7 seconds only"]
