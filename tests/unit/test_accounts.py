"""What is read of a host's accounts, keys and sessions, and what follows from it."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.shadow import shadow
from ansible_collections.gpulab.core.plugins.modules import (
    account_state,
    archived_home,
    end_sessions,
    hub_users,
    login_keys,
    shared_directories,
)

SHADOW = "ada:$6$x:20000:0:99999:7:::\neve:!:20000:0:99999:7::1:\nnew:*:20000:0:99999:7::21000:\n"


def entry(name: str, uid: int, home: Path, shell: str = "/bin/bash") -> pwd.struct_passwd:
    """Make a line of passwd."""
    return pwd.struct_passwd((name, "x", uid, uid, "", str(home), shell))


def test_shadow_is_read() -> None:
    """Hash and day of expiry, where there is one."""
    assert shadow(SHADOW) == {"ada": ("$6$x", None), "eve": ("!", 1), "new": ("*", 21000)}


def test_last_day_is_usable() -> None:
    """The account expires on the day after its last one."""
    assert account_state.expiry_day("1970-01-02") == 2
    assert account_state.expiry_day(None) is None


@pytest.mark.parametrize(
    ("setting", "differs"),
    [
        ({}, False),
        ({"groups": ["lab"]}, False),
        ({"groups": ["lab", "staff"]}, True),
        ({"expires": "2030-01-01"}, True),
    ],
)
def test_account_that_differs_is_named(tmp_path: Path, setting: dict[str, Any], differs: bool) -> None:
    """Only accounts that differ cost a task."""
    found = account_state.differs(
        {"name": "ada", **setting}, entry("ada", 1001, tmp_path), None, {"lab": {"ada"}}, "/bin/bash"
    )
    assert found is differs


def test_missing_account_shell_and_home_differ(tmp_path: Path) -> None:
    """What would not let somebody work is not as requested."""
    ask = (None, dict[str, set[str]](), "/bin/bash")
    assert account_state.differs({"name": "ada"}, None, *ask)
    assert account_state.differs({"name": "ada"}, entry("ada", 1001, tmp_path, "/bin/false"), *ask)
    assert account_state.differs({"name": "ada"}, entry("ada", 1001, tmp_path / "gone"), *ask)


def test_open_home_is_named_and_a_link_is_left_alone(tmp_path: Path) -> None:
    """An adopted home of mode 0755 is closed; nobody's link decides what is closed."""
    for name, mode in (("ada", 0o755), ("grace", 0o700)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
    (tmp_path / "eve").symlink_to("/etc")
    entries = {name: entry(name, 1001, tmp_path / name) for name in ("ada", "grace", "eve")}
    assert account_state.open_homes(["ada", "grace", "eve", "nobody"], entries) == {"ada": str(tmp_path / "ada")}


def test_home_that_others_can_replace_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root changes no mode by a path whose last step another account can exchange."""
    monkeypatch.setattr(account_state, "unsafe_directory", lambda path: path if path.name == "open" else None)
    homes = {"ada": str(tmp_path / "homes" / "ada"), "eve": str(tmp_path / "open" / "eve")}
    assert list(account_state.unsafe_homes(homes)) == ["eve"]


def test_keys_of_one_owner_leave_the_others_as_they_are(tmp_path: Path) -> None:
    """Each application of the role owns a part of each file."""
    (tmp_path / "ada").write_text("# begin physics\nkey-p\n# end physics\n")
    (tmp_path / "eve").write_text("# begin lab\nold\n# end lab\n")
    found = login_keys.changes([{"name": "ada", "keys": ["key-a", "key-b"]}, {"name": "new"}], "lab", tmp_path)
    after = {path.name: text for path, (_, text) in found.items()}
    assert after == {
        "ada": "# begin physics\nkey-p\n# end physics\n# begin lab\nkey-a\nkey-b\n# end lab\n",
        "eve": "",
    }
    for path, (_, text) in found.items():
        login_keys.write(path, text, 0o644)
    assert not (tmp_path / "eve").exists()
    assert login_keys.changes([{"name": "ada", "keys": ["key-a", "key-b"]}], "lab", tmp_path) == {}
    gone = login_keys.changes([{"name": "ada", "keys": ["key-b"]}], "lab", tmp_path)
    assert "key-a" not in gone[tmp_path / "ada"][1]


def test_sshd_keeps_reading_what_it_read() -> None:
    """A site's own places of keys stay; ours comes last and once."""
    directory = Path("/etc/ssh/authorized_keys.d")
    assert ".ssh/authorized_keys .ssh/authorized_keys2 /etc/ssh/authorized_keys.d/%u" in login_keys.sshd_setting(
        "", directory
    )
    shown = "port 22\nauthorizedkeysfile /site/%u /etc/ssh/authorized_keys.d/%u\n"
    assert "AuthorizedKeysFile /site/%u /etc/ssh/authorized_keys.d/%u\n" in login_keys.sshd_setting(shown, directory)


def test_processes_of_a_person_are_found() -> None:
    """By their owner; one that has ended is no process any more."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in end_sessions.processes(os.getuid())
        assert child.pid not in end_sessions.processes(4242424)
        child.kill()
    assert child.pid not in end_sessions.processes(os.getuid())


def test_accounts_of_the_system_are_never_ended() -> None:
    """A slip of the pen must not end the host."""
    accounts = {"root": 0, "daemon": 1, "ada": 1001, "deploy": 1002}
    assert end_sessions.refused(["ada", "root", "daemon", "deploy", "gone"], accounts, {0, 1002}) == [
        "root",
        "daemon",
        "deploy",
    ]


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test's own directories be as safe as /home is; only those named `open` are not."""
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
    assert archived_home.homes(["nobody"], entries) == ({}, [])
    uid = max(os.getuid(), 1000)
    os.chown(tmp_path / "open" / "joe", uid, -1)
    found, problems = archived_home.homes(["joe"], [entry("joe", uid, tmp_path / "open" / "joe")])
    assert found == {}
    assert "can replace" in problems[0]


class Programs:
    """What archived_home uses of a module; programs really run."""

    params = {"timeout": 20}  # noqa: RUF012

    def run_command(self, argv: list[str], umask: int, cwd: str) -> tuple[int, str, str]:
        """Run a program as AnsibleModule does."""
        done = subprocess.run(argv, capture_output=True, text=True, umask=umask, cwd=cwd, check=False)
        return done.returncode, done.stdout, done.stderr


def a_home(tmp_path: Path) -> Path:
    """Make a home with what stops programs that are not careful."""
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


def test_whatever_a_home_holds_is_archived(tmp_path: Path, trusted: None) -> None:
    """1500 nested directories, a fifo, a terabyte of nothing: packed in time, and nothing outside is touched."""
    home = a_home(tmp_path)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("kept")
    job = archived_home.Job(home.parent / ".gpulab-leaving" / "eve-20310101-000000", home)
    assert archived_home.archived(Programs(), job, tmp_path) == ""
    assert not home.exists()
    assert list((home.parent / ".gpulab-leaving").iterdir()) == []
    assert (tmp_path / "outside" / "file").read_text() == "kept"
    archive = tmp_path / "eve-20310101-000000.tar.gz"
    listed = subprocess.run(["tar", "-tzf", str(archive)], capture_output=True, text=True, check=True).stdout
    assert "eve/--remove-files\n" in listed
    assert max(map(len, listed.splitlines())) > 46000
    assert archive.stat().st_size < 2**20


def test_home_that_cannot_be_archived_stops_nobody(tmp_path: Path, trusted: None) -> None:
    """It waits where only root can enter, is named with the remedy, and is archived by that user's next run."""
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
    with pytest.raises(archived_home.Failed, match="sleep: no result after 1 seconds"):
        archived_home.run(programs, ["sleep", "30"])


def test_shared_directory_is_compared_as_a_whole(tmp_path: Path) -> None:
    """Mode, owner and default list: one that differs in any is made right."""
    gid = os.getgid()
    tmp_path.chmod(0o2770)
    listed = "\n".join(["user::rwx", *shared_directories.rules("class")])
    own = os.getuid() == 0
    assert shared_directories.fits(tmp_path, "class", gid, listed) is own
    assert not shared_directories.fits(
        tmp_path, "class", gid, listed.replace("default:other::---", "default:other::r-x")
    )
    tmp_path.chmod(0o770)
    assert not shared_directories.fits(tmp_path, "class", gid, listed)


def test_hub_forgets_leavers_and_the_expired() -> None:
    """Whoever the hub knows and who is no member, or whose last day is over."""
    assert hub_users.over(SHADOW, 20999) == {"eve"}
    assert hub_users.over(SHADOW, 21000) == {"eve", "new"}
    assert hub_users.leavers(["ada", "eve", "old", "new"], ["ada", "eve", "new"], {"eve"}) == ["eve", "old"]


def test_hub_is_asked_page_by_page() -> None:
    """A hub gives no more than a page at a time."""
    pages = {0: (["a", "b"], {"offset": 2}), 2: (["c"], None)}

    def ask(method: str, path: str) -> Any:
        names, following = pages[int(path.rpartition("=")[2])]
        return {"items": [{"name": name} for name in names], "_pagination": {"next": following}}

    assert hub_users.everybody(ask) == ["a", "b", "c"]
