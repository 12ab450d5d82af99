# SPDX-License-Identifier: GPL-3.0-or-later
"""Differences between the accounts of a host and the requested ones."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.common.shadow import records
from ansible_collections.gpulab.core.plugins.module_utils.users import accounts, processes

STATUS = "State:\tS (sleeping)\nPPid:\t1\nUid:\t{uids}\nGid:\t5 5 5 5\nGroups:\t5 1100 \n"


def entry(name: str, uid: int, home: Path, shell: str = "/bin/bash") -> pwd.struct_passwd:
    """Return an entry of passwd(5)."""
    return pwd.struct_passwd((name, "x", uid, uid, "", str(home), shell))


def write_process(proc: Path, pid: int, uids: str) -> None:
    """Write an entry of /proc."""
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "status").write_text(STATUS.format(uids=uids))


@pytest.mark.parametrize(
    ("setting", "there", "words"),
    [
        ({"name": "ada", "uid": 2001}, [entry("ada", 1500, Path("/home/ada"))], "exists with uid 1500, not 2001"),
        ({"name": "ada", "uid": 2001}, [entry("grace", 2001, Path("/home/grace"))], "belongs to grace"),
        ({"name": "postgres"}, [entry("postgres", 104, Path("/var/lib/postgresql"))], "system account of the host"),
    ],
)
def test_account_that_would_be_overwritten_is_rejected(
    tmp_path: Path, setting: dict[str, Any], there: list[pwd.struct_passwd], words: str
) -> None:
    """The message names the account and the conflict."""
    found = accounts.account_problems([setting], there, tmp_path)
    assert len(found) == 1
    assert words in found[0]


def test_home_without_its_account_is_rejected(tmp_path: Path) -> None:
    """Files of a former user are never handed to a new one."""
    (tmp_path / "ada").mkdir()
    assert "Move it away" in accounts.account_problems([{"name": "ada"}], [], tmp_path)[0]


def test_home_is_kept_where_its_owner_is_the_requested_uid(tmp_path: Path) -> None:
    """After the system was installed again; another number, a link and a file are rejected."""
    for name in ("ada", "eve", "joe"):
        (tmp_path / name).mkdir()
    for name, uid in (("ada", 20001), ("eve", 20002), ("joe", 104)):
        os.chown(tmp_path / name, uid, uid)
    (tmp_path / "link").symlink_to(tmp_path / "ada")

    def problems(name: str, uid: int | None) -> list[str]:
        return accounts.account_problems([{"name": name, "uid": uid}], [], tmp_path)

    assert problems("ada", 20001) == []
    assert "(uid 20002) exists and user eve does not. Set uid 20002" in problems("eve", 20001)[0]
    assert "Set uid 20002 in users_accounts (gpulab_users) to keep it, or move it away." in problems("eve", None)[0]
    assert problems("joe", None)[0].endswith("(uid 104) exists and user joe does not. Move it away.")
    assert "Move it away" in problems("link", 20001)[0]


def test_services_of_nsswitch_that_are_not_local() -> None:
    """Actions in brackets and comments are no services."""
    assert accounts.directory_services("passwd:  files systemd\ngroup: files sss\n") == []
    assert accounts.directory_services("# passwd: ldap\npasswd: files sss [NOTFOUND=return] winbind # x\n") == [
        "sss",
        "winbind",
    ]


def test_accounts_are_looked_up_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory does not list its accounts; an account under another spelling is another account."""
    directory = {"noether": entry("noether", 70001, Path("/home/noether")), "Curie": entry("curie", 70002, Path("/"))}
    monkeypatch.setattr(pwd, "getpwnam", lambda name: directory[name])
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: {70001: directory["noether"]}[uid])
    assert list(accounts.named(["noether", "Curie", "ghost"])) == ["noether"]
    assert list(accounts.numbered([70001, 70009])) == ["noether"]


def test_directory_decides_on_password_and_expiry() -> None:
    """The message names the service and the setting; a local account may have both."""
    entries = {name: entry(name, 70001, Path("/home")) for name in ("noether", "ada")}
    host = accounts.Host(entries, {}, {}, {}, frozenset({"ada"}), ("sss",))
    requested = [{"name": name, "password_hash": "$6$x", "expires": "2030-01-01"} for name in entries]
    found = accounts.directory_problems(requested, host, set())
    assert len(found) == 1
    assert "user noether is an account of a directory (sss), which decides on its password_hash and expires" in found[0]
    assert accounts.directory_problems([{"name": "noether"}], host, {"noether"}) == []


def test_known_user_without_an_account_stops_where_a_directory_may_be_down() -> None:
    """A local account of the same name would be another user. Without a directory, the account is created again."""
    requested = [{"name": "noether"}, {"name": "new"}]
    found = accounts.directory_problems(requested, accounts.Host({}, {}, {}, {}, services=("sss",)), {"noether"})
    assert len(found) == 1
    assert "check its service: `getent passwd noether`" in found[0]
    assert accounts.directory_problems(requested, accounts.Host({}, {}, {}, {}), {"noether"}) == []


@pytest.mark.parametrize(("uid", "protected"), [(0, True), (33, True), (999, True), (1000, False), (65534, True)])
def test_system_accounts_are_protected(uid: int, protected: bool) -> None:
    """They are never closed, and their processes are never ended."""
    assert accounts.is_protected(entry("x", uid, Path("/"))) is protected


def test_account_that_fits_is_adopted(tmp_path: Path) -> None:
    """The same number, or none requested, is no problem."""
    there = [entry("ada", 1500, Path("/home/ada"))]
    assert accounts.account_problems([{"name": "ada", "uid": 1500}], there, tmp_path) == []
    assert accounts.account_problems([{"name": "ada"}], there, tmp_path) == []


@pytest.mark.parametrize("name", ["Grace.Hopper", "grace@lab", "1ada", "a" * 32])
def test_name_of_an_existing_account_is_adopted_and_none_is_created(tmp_path: Path, name: str) -> None:
    """Directories and older systems have names that useradd does not accept; so do groups."""
    assert accounts.account_problems([{"name": name}], [entry(name, 1500, tmp_path)], tmp_path) == []
    assert f"user {name} does not exist on the host" in accounts.account_problems([{"name": name}], [], tmp_path)[0]
    assert accounts.group_problems([name, "class"], {name: None}) == []
    assert f"group {name} does not exist on the host" in accounts.group_problems([name, "class"], {})[0]


def test_capitals_cannot_log_in_at_the_hub() -> None:
    """JupyterHub reads all names in small letters."""
    assert accounts.name_warnings(["ada", "grace@lab"]) == []
    assert "Grace: the hub logs in names in small letters only" in accounts.name_warnings(["ada", "Grace"])[0]


def test_password_and_day_of_expiry_are_those_of_shadow(tmp_path: Path) -> None:
    """An entry of shadow without an account has no password."""
    text = "ada:$6$x:20000:0:99999:7:::\neve:!:20000:0:99999:7::1:\nnew:*:20000:0:99999:7::21000:\n"
    entries = {name: entry(name, 1001, tmp_path) for name in ("ada", "eve")}
    host = accounts.Host(entries, {}, {}, records(text))
    assert [host.password_field(name) for name in ("ada", "eve", "new", "gone")] == ["$6$x", "!", None, None]
    assert [host.expiry(name) for name in ("ada", "eve", "new", "gone")] == [None, 1, 21000, None]


def test_last_day_is_usable() -> None:
    """The account expires on the day after its last one."""
    assert accounts.expiry_day("1970-01-02") == 2
    assert accounts.expiry_day(None) is None


@pytest.mark.parametrize(
    ("setting", "differs"),
    [
        ({}, False),
        ({"groups": ["lab"]}, False),
        ({"groups": ["lab", "staff"]}, True),
    ],
)
def test_account_that_differs_is_named(tmp_path: Path, setting: dict[str, Any], differs: bool) -> None:
    """Only accounts that differ are updated."""
    found = accounts.differs({"name": "ada", **setting}, entry("ada", 1001, tmp_path), {"lab": {"ada"}})
    assert found is differs


def test_missing_account_and_home_differ_and_a_shell_does_not(tmp_path: Path) -> None:
    """A shell is the user's own choice; one with which no session starts is reported."""
    assert accounts.differs({"name": "ada"}, None, {})
    assert accounts.differs({"name": "ada"}, entry("ada", 1001, tmp_path / "gone"), {})
    shells = {"ada": "/bin/zsh", "eve": "/usr/sbin/nologin", "joe": "/bin/false"}
    entries = {name: entry(name, 1001, tmp_path, shell) for name, shell in shells.items()}
    assert not any(accounts.differs({"name": name}, entries[name], {}) for name in entries)
    host = accounts.Host(entries, {}, {}, {})
    found = accounts.login_warnings(["ada", "eve", "joe", "ghost"], host)
    assert [warning.partition(":")[0] for warning in found] == ["eve", "joe"]
    assert "the login shell is /usr/sbin/nologin" in found[0]


def test_open_home_is_named_and_a_link_is_left_alone(tmp_path: Path) -> None:
    """An adopted home of mode 0755 is closed; the target of a link is not."""
    for name, mode in (("ada", 0o755), ("grace", 0o700)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
    (tmp_path / "eve").symlink_to("/etc")
    entries = {name: entry(name, 1001, tmp_path / name) for name in ("ada", "grace", "eve")}
    assert accounts.open_homes(["ada", "grace", "eve", "ghost"], entries) == {"ada": str(tmp_path / "ada")}


def test_home_that_others_can_replace_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root changes no mode by a path whose last step another account can exchange."""
    monkeypatch.setattr(accounts, "unsafe_directory", lambda path: path if path.name == "open" else None)
    homes = {"ada": str(tmp_path / "homes" / "ada"), "eve": str(tmp_path / "open" / "eve")}
    assert list(accounts.unsafe_homes(homes)) == ["eve"]


def test_processes_that_hold_a_revoked_group_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accounts that are in the group, or whose own group it is, are left alone."""
    names = {"eve": 1001, "ada": 1002, "joe": 1100}
    for name, uid in names.items():
        write_process(tmp_path, uid, f"{uid} {uid} {uid} {uid}")
        (tmp_path / name).mkdir()
    monkeypatch.setattr(accounts, "processes", lambda: processes.processes(tmp_path))
    entries = {name: entry(name, uid, tmp_path) for name, uid in names.items()}
    assert accounts.outdated(names, entries, {1100: {"ada"}}) == {"eve"}
    assert accounts.outdated(names, entries, {}) == set()


def test_home_that_root_cannot_read_counts_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount of the user's own gives root an error: the run goes on, and the home is left alone."""
    home = entry("eve", 1001, tmp_path / "eve")

    def fails(path: Path, **_more: bool) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", fails)
    monkeypatch.setattr(Path, "lstat", fails)
    assert accounts.home_state(tmp_path / "eve") == "Permission denied"
    assert not accounts.differs({"name": "eve"}, home, {})
    assert accounts.open_homes(["eve"], {"eve": home}) == {}


def test_link_in_the_place_of_a_shared_directory_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root creates nothing through a link, nor where another account can replace directories."""
    monkeypatch.setattr(accounts, "unsafe_directory", lambda path: path if path.name == "open" else None)
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "file").write_text("")
    found = accounts.shared_directory_problems([tmp_path / "link", tmp_path / "file", tmp_path / "new"])
    assert [problem.partition(" ")[0] for problem in found] == [str(tmp_path / "link"), str(tmp_path / "file")]
    assert "is not a directory. Move it away" in found[0]
    (tmp_path / "open").mkdir()
    assert "can replace" in accounts.shared_directory_problems([tmp_path / "open" / "class"])[0]
    assert accounts.shared_directory_problems([]) == []


def test_group_of_a_directory_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its members cannot be set on the host; a group of the host and a new one are no problem."""
    known = {"physics": grp.struct_group(("physics", "x", 70100, [])), "lab": grp.struct_group(("lab", "x", 990, []))}
    monkeypatch.setattr(grp, "getgrnam", lambda name: known[name])
    found = accounts.directory_groups(["lab", "physics", "new"], frozenset({"lab"}))
    assert len(found) == 1
    assert "group physics (gid 70100) belongs to a directory" in found[0]


def test_local_accounts_are_those_of_the_file(tmp_path: Path) -> None:
    """Whatever other services know."""
    (tmp_path / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\n+::::::\nada:x:1001:1001::/home/ada:/bin/bash\n")
    assert {"root", "ada"} <= accounts.local_names(tmp_path / "passwd")
