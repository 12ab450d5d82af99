# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of single users: keys and limits follow the plans, and other applications of the role keep theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.gpulab.core.plugins.module_utils.common.text_blocks import with_block

ROLE = Path(__file__).resolve().parents[4] / "roles" / "users"
LOADER = DataLoader()
ADA = {"name": "ada", "ssh_keys": ["key-a", "key-b"], "slice": {"MemoryMax": "2G", "TasksMax": "99"}}
NEW = {"name": "new", "ssh_keys": [], "slice": {}}


def evaluated(file: str, position: int, **variables: Any) -> list[dict[str, Any]]:
    """Return the entries that a task of the role gives to host_files."""
    task = LOADER.load_from_file(str(ROLE / "tasks" / file), trusted_as_template=True)[position]
    templar = Templar(loader=LOADER, variables={"users_group": "lab", **task["vars"], **variables})
    entries: list[dict[str, Any]] = templar.template(task["gpulab.core.host_files"]["files"])
    return entries


def listed(paths: Sequence[str]) -> dict[str, Any]:
    """Return the result of ansible.builtin.find for some paths."""
    return {"files": [{"path": path} for path in paths]}


def rendered(name: str, **variables: Any) -> str:
    """Return a template of the role as Ansible renders it."""
    text = LOADER.get_text_file_contents(str(ROLE / "templates" / name))
    templar = Templar(loader=LOADER, variables={"ansible_managed": "Ansible managed", **variables})
    result: str = templar.template(trust_as_template(text))
    return result


def key_entries(*paths: str) -> list[dict[str, Any]]:
    """Return the entries for key files where these files have keys of the group already."""
    directory = "/etc/ssh/authorized_keys.d"
    files = listed(paths)
    return evaluated("keys.yml", 1, __users_plans=[ADA, NEW], __users_key_files=files, __users_key_directory=directory)


def test_keys_are_blocks_of_the_group_in_files_of_roots() -> None:
    """A user without keys gets no file, and a user who is no longer listed loses the block."""
    directory, *blocks = key_entries("/etc/ssh/authorized_keys.d/ada", "/etc/ssh/authorized_keys.d/eve")
    assert directory == {"path": "/etc/ssh/authorized_keys.d", "state": "directory", "mode": "0755"}
    assert [(block["path"].rpartition("/")[2], block["state"], block["mark"]) for block in blocks] == [
        ("ada", "block", "lab"),
        ("eve", "block", "lab"),
    ]
    assert blocks[0]["vars"] == {"public_keys": ["key-a", "key-b"]}
    assert blocks[1]["content"] == ""


def test_host_without_keys_gets_no_directory() -> None:
    """Neither where no user has a key nor where none had one."""
    assert evaluated("keys.yml", 1, __users_plans=[NEW], __users_key_files=listed([])) == []


def test_keys_of_one_group_leave_the_others_as_they_are() -> None:
    """Each application of the role owns a part of each file; a key that is not requested is removed."""
    other = "# begin physics\nkey-p\n# end physics\n"
    both = with_block(other, "lab", ["key-a", "key-b"])
    assert both == other + "# begin lab\nkey-a\nkey-b\n# end lab\n"
    assert "key-a" not in with_block(both, "lab", ["key-b"])
    assert with_block(both, "lab", []) == other


def limit_entries(*paths: str, created: Sequence[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """Return the entries for limits; ada has an account, and these files exist."""
    return evaluated(
        "limits.yml",
        1,
        __users_plans=[ADA, NEW],
        __users_state={"uids": {"ada": 1001}},
        __users_created={"results": list(created)},
        __users_limit_files=listed(paths),
    )


def test_limits_follow_the_plans_of_one_group() -> None:
    """A drop-in and an entry of the list for each user; those of other users are removed, other groups' stay."""
    slices = "/etc/systemd/system"
    entries = {
        entry["path"]: entry
        for entry in limit_entries(
            f"{slices}/user-1001.slice.d/50-lab.conf",
            f"{slices}/user-1002.slice.d/50-lab.conf",
            f"{slices}/user.slice.d/50-lab.conf",
            "/etc/gpulab/users/1002.lab",
            "/etc/systemd/logind.conf.d/50-lab.conf",
        )
    }
    removed = {path for path, entry in entries.items() if entry.get("state") == "absent"}
    assert removed == {f"{slices}/user-1002.slice.d/50-lab.conf", "/etc/gpulab/users/1002.lab"}
    assert entries[f"{slices}/user-1001.slice.d/50-lab.conf"]["vars"]["user"]["name"] == "ada"
    assert entries["/etc/gpulab/users/1001.lab"]["content"] == ""


def test_created_account_has_its_limits_in_the_same_run() -> None:
    """In check mode a new account has no uid, and its limits are left out."""
    made = [{"name": "new", "uid": 1003}]
    assert "/etc/gpulab/users/1003.lab" in [entry["path"] for entry in limit_entries(created=made)]
    assert len(limit_entries()) == len(limit_entries(created=made)) - 3


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (".ssh/authorized_keys .ssh/authorized_keys2", ".ssh/authorized_keys .ssh/authorized_keys2"),
        ("/site/%u /etc/ssh/authorized_keys.d/%u", "/site/%u"),
    ],
)
def test_sshd_keeps_reading_its_own_files(read: str, expected: str) -> None:
    """A site's own files with keys stay; ours are the last."""
    line = rendered("sshd-keys.conf.j2", __users_key_paths=read).splitlines()[-1]
    assert line == f"AuthorizedKeysFile {expected} /etc/ssh/authorized_keys.d/%u"


def test_sshd_without_key_files_reads_ours() -> None:
    """The word none is not a file."""
    line = rendered("sshd-keys.conf.j2", __users_key_paths="none").splitlines()[-1]
    assert line == "AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u"


def test_drop_in_enables_the_accounting_of_its_limits() -> None:
    """Without accounting, systemd sets no limit."""
    lines = rendered("user-limits.conf.j2", user=ADA).splitlines()
    assert lines[lines.index("[Slice]") :] == [
        "[Slice]",
        "CPUAccounting=yes",
        "MemoryAccounting=yes",
        "TasksAccounting=yes",
        "MemoryMax=2G",
        "TasksMax=99",
    ]


def test_shared_directory_is_compared_as_a_whole() -> None:
    """Owner, group, set-group-ID bit, mode and default list: one that differs in any is set again."""
    text = rendered("shared-directory.acl.j2", item="class", users_shared_path="/srv/shared")
    assert text.splitlines()[:4] == ["# file: /srv/shared/class", "# owner: root", "# group: class", "# flags: -s-"]
    assert [line for line in text.splitlines() if not line.startswith("#")] == [
        "user::rwx",
        "group::rwx",
        "other::---",
        "default:user::rwx",
        "default:group::rwx",
        "default:group:class:rwx",
        "default:mask::rwx",
        "default:other::---",
    ]
