# SPDX-License-Identifier: GPL-3.0-or-later
"""Homes of leavers: archived whole, without following a link, or kept with a remedy."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from ansible_collections.gpulab.core.plugins.modules import archived_home


def entry(name: str, uid: int, home: Path, shell: str = "/bin/bash") -> pwd.struct_passwd:
    """Return an entry of passwd(5)."""
    return pwd.struct_passwd((name, "x", uid, uid, "", str(home), shell))


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test's own directories count as safe, apart from those named `open`."""
    monkeypatch.setattr(archived_home, "unsafe_directory", lambda path: path if path.name == "open" else None)


def test_home_that_is_a_link_is_not_archived(tmp_path: Path, trusted: None) -> None:
    """Nor one that belongs to another account, or lies where others can exchange it."""
    (tmp_path / "eve").symlink_to("/etc")
    (tmp_path / "ada").mkdir()
    (tmp_path / "open" / "joe").mkdir(parents=True)
    entries = [entry("eve", 1002, tmp_path / "eve"), entry("ada", 4242, tmp_path / "ada")]
    found, problems = archived_home.homes(["eve"], entries)
    assert found == {}
    assert "eve owns" in problems[0]
    assert "ada owns" in archived_home.homes(["ada"], entries)[1][0]  # it belongs to another number
    assert archived_home.homes(["ghost"], entries) == ({}, [])
    uid = max(os.getuid(), 1000)
    os.chown(tmp_path / "open" / "joe", uid, -1)
    found, problems = archived_home.homes(["joe"], [entry("joe", uid, tmp_path / "open" / "joe")])
    assert found == {}
    assert "can replace" in problems[0]


class Programs:
    """The part of AnsibleModule that archived_home uses; programs really run."""

    params = {"timeout": 20}  # noqa: RUF012

    def run_command(self, argv: list[str], umask: int, cwd: str) -> tuple[int, str, str]:
        """Run a program as AnsibleModule does."""
        done = subprocess.run(argv, capture_output=True, text=True, umask=umask, cwd=cwd, timeout=120, check=False)
        return done.returncode, done.stdout, done.stderr


def hostile_home(tmp_path: Path) -> Path:
    """Make a home with contents that stop careless programs."""
    home = tmp_path / "homes" / "eve"
    home.mkdir(parents=True)
    deep = os.open(home, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d" * 30, dir_fd=deep)
        deeper = os.open("d" * 30, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = deeper
    os.close(deep)
    os.mkfifo(home / "fifo")
    (home / "link").symlink_to(tmp_path / "outside")
    (home / "new\nline").write_text("x")
    (home / "--remove-files").write_text("x")
    with (home / "sparse").open("w") as file:
        file.truncate(2**40)
    return home


def test_hostile_home_is_archived_whole(tmp_path: Path, trusted: None) -> None:
    """1500 nested directories, a fifo, a terabyte of nothing: packed in time, and nothing outside is touched."""
    home = hostile_home(tmp_path)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("kept")
    job = archived_home.Job(home.parent / ".gpulab-leaving" / "eve-20310101-000000", home)
    assert archived_home.archived(Programs(), job, tmp_path) == ""
    assert not home.exists()
    assert list((home.parent / ".gpulab-leaving").iterdir()) == []
    assert (tmp_path / "outside" / "file").read_text() == "kept"
    archive = tmp_path / "eve-20310101-000000.tar.gz"
    listed = subprocess.run(
        ["tar", "-tzf", str(archive)], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    assert "eve/--remove-files\n" in listed
    assert max(map(len, listed.splitlines())) > 46000
    assert archive.stat().st_size < 2**20


def test_home_that_cannot_be_archived_waits_for_the_next_run(tmp_path: Path, trusted: None) -> None:
    """Only root can enter its directory, the message has the remedy, and the next run for the user archives it."""
    home = tmp_path / "homes" / "eve"
    home.mkdir(parents=True)
    aside = home.parent / ".gpulab-leaving" / "eve-20310101-000000"
    job = archived_home.Job(aside, home)
    missing = tmp_path / "missing"
    assert f"{aside} is not archived" in archived_home.archived(Programs(), job, missing)
    assert (aside / "eve").is_dir()
    assert not home.exists()
    assert archived_home.unfinished(["eve"], [home.parent]) == [aside]
    assert archived_home.unfinished(["ev", "eve-20310101"], [home.parent]) == []
    again = archived_home.Job(aside, None)
    assert archived_home.archived(Programs(), again, tmp_path) == ""
    assert not aside.exists()


def test_program_that_hangs_is_ended(trusted: None) -> None:
    """The message names the program and the time."""
    programs = Programs()
    programs.params = {"timeout": 1}
    with pytest.raises(archived_home.ProgramFailed, match="sleep: no result after 1 seconds"):
        archived_home.run(programs, ["sleep", "30"])


def test_home_that_root_cannot_read_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount of the user's own gives root an error: the home is named with the remedy."""
    home = entry("eve", 1001, tmp_path / "eve")

    def fails(path: Path, **_more: bool) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "lstat", fails)
    found, problems = archived_home.homes(["eve"], [home])
    assert found == {}
    assert "eve: Permission denied. Unmount it" in problems[0]
