#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module gpulab.core.user_sessions."""

from __future__ import annotations

DOCUMENTATION = r"""
module: user_sessions
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: End all sessions and processes of users
description:
  - Kills all processes in the slice of each named user (logins and servers of the hub), disables lingering, stops the
    slice, and kills processes outside of it, also those with a subordinate uid of the user (subuid(5)).
  - Reads C(/proc), passwd(5) and subuid(5) on the managed host.
  - Processes that do not end are reported when those of all users were killed.
  - For users who leave, it also removes files in memory (C(/dev/shm), C(/dev/mqueue), C(/run/lock)), System V IPC
    objects and the user's own C(/tmp). Files in homes and shared directories stay.
  - Fails for a system account, and for the account of this run's own session.
options:
  names:
    description: Login names. A name without an account is skipped.
    type: list
    elements: str
    required: true
  leaving:
    description: Users of O(names) who leave.
    type: list
    elements: str
    default: []
  holding:
    description:
      - Revoked memberships. If set, sessions end only for users of O(names) with a process that still holds one of
        them, for example a process that a program with the set-group-ID bit has started meanwhile.
    type: list
    elements: dict
    suboptions:
      group:
        description: Name of the group.
        type: str
        required: true
      name:
        description: Name of the user.
        type: str
        required: true
  instances:
    description: Directory whose subdirectories hold the users' own C(/tmp) and C(/var/tmp), by name of the user.
    type: path
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: full
    description: Shows the users whose processes it ends, and what it removes.
"""

EXAMPLES = r"""
- name: Revoke | End the sessions of users without access
  gpulab.core.user_sessions:
    names: [eve, victor]
    leaving: [eve]
    instances: /var/lib/gpulab/sessions
"""

RETURN = r"""
ended:
  description: Users whose processes were ended, or would be in check mode.
  type: list
  elements: str
  returned: always
  sample: [eve]
removed:
  description: Files in memory, own C(/tmp) directories and IPC objects that were removed, or would be in check mode.
  type: list
  elements: str
  returned: success
  sample: [/dev/shm/data, ipcrm --shmem-id 7]
"""

import grp
import os
import pwd
import signal
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.users.accounts import is_protected, named
from ansible_collections.gpulab.core.plugins.module_utils.users.processes import PROC, ancestors
from ansible_collections.gpulab.core.plugins.module_utils.users.processes import processes as all_processes

MIN_UID = 1000
KILL_SECONDS = 10.0
"""Seconds until a killed process must have ended."""
STOP_SECONDS = 20
"""Time limit of systemctl to kill a slice, and again to stop it."""
REMOVE_SECONDS = 300
"""Time limit for removing the files of one leaver in memory and in /tmp."""
IN_MEMORY = (Path("/dev/shm"), Path("/dev/mqueue"), Path("/run/lock"))  # noqa: S108  # nothing is written there
IPC = {"shm": ("shmid", "--shmem-id"), "sem": ("semid", "--semaphore-id"), "msg": ("msqid", "--queue-id")}
"""Tables in /proc/sysvipc: the column of the number, and the option of ipcrm(1)."""


def subordinate_uids(name: str, text: str) -> list[range]:
    """Return the uids that a user may give to processes in a user namespace, from the text of /etc/subuid."""
    lines = [line.split(":") for line in text.splitlines()]
    return [
        range(int(line[1]), int(line[1]) + int(line[2]))
        for line in lines
        if len(line) == 3 and line[0] == name and line[1].isdecimal() and int(line[1]) >= MIN_UID
    ]


def processes(uid: int, more: Sequence[range] = (), proc: Path = PROC) -> list[int]:
    """Return the processes with a user's uid, or one in `more`, as any of their four uids; zombies have ended."""
    return [
        process.pid
        for process in all_processes(proc)
        if uid in process.uids or any(number in numbers for number in process.uids for numbers in more)
    ]


def protected(names: Iterable[str], entries: Mapping[str, pwd.struct_passwd], own: Set[int]) -> list[str]:
    """Return the accounts whose sessions must not be ended: system accounts, and `own` ones of this run's session."""
    return [name for name in names if name in entries and (is_protected(entries[name]) or entries[name].pw_uid in own)]


def holders(memberships: Iterable[dict[str, str]], accounts: dict[str, int], gids: dict[str, int]) -> set[str]:
    """Return the users with a process that holds one of their memberships."""
    pairs = {
        (accounts[item["name"]], gids[item["group"]]): item["name"]
        for item in memberships
        if item["name"] in accounts and item["group"] in gids
    }
    return {
        pairs[uid, gid]
        for process in all_processes()
        for uid in process.uids
        for gid in process.gids
        if (uid, gid) in pairs
    }


def end(uid: int, more: Sequence[range], module: AnsibleModule) -> list[int]:
    """Kill all processes of one user and return those that have not ended after KILL_SECONDS."""
    # Kill first: systemd would wait for a process that ignores SIGTERM.
    for argv in (["kill", "--signal=KILL"], ["stop"]):
        module.run_command(["timeout", "--kill-after=5", str(STOP_SECONDS), "systemctl", *argv, f"user-{uid}.slice"])
    deadline = time.monotonic() + KILL_SECONDS
    while (running := processes(uid, more)) and time.monotonic() < deadline:
        for pid in running:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.1)
    return running


def owned_ipc(uid: int, proc: Path = PROC) -> list[list[str]]:
    """Return the commands that remove a user's shared memory, semaphores and message queues (System V)."""
    commands = []
    for table, (number, option) in IPC.items():
        path = proc / "sysvipc" / table
        heading, *lines = path.read_text(encoding="ascii").splitlines() if path.exists() else [""]
        rows = [dict(zip(heading.split(), line.split(), strict=False)) for line in lines]
        commands += [["ipcrm", option, row[number]] for row in rows if str(uid) in (row["uid"], row["cuid"])]
    return commands


def owner(path: Path) -> int | None:
    """Return the uid of a path itself, None without one."""
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def leftover_files(name: str, uid: int, instances: Path | None, memory: Iterable[Path] = IN_MEMORY) -> list[Path]:
    """Return a user's files in memory, and the user's own directories below `instances`."""
    files = [path for directory in memory if directory.is_dir() for path in directory.iterdir() if owner(path) == uid]
    if instances and instances.is_dir():
        files += [path for directory in instances.iterdir() if (path := directory / name).is_dir()]
    return sorted(files)


def main() -> None:
    """Run the module."""
    listed = {"type": "list", "elements": "str"}
    membership = {"group": {"type": "str", "required": True}, "name": {"type": "str", "required": True}}
    module = AnsibleModule(
        argument_spec={
            "names": {**listed, "required": True},
            "leaving": {**listed, "default": []},
            "holding": {"type": "list", "elements": "dict", "options": membership},
            "instances": {"type": "path"},
        },
        supports_check_mode=True,
    )
    names, leaving = module.params["names"], module.params["leaving"]
    instances = Path(module.params["instances"]) if module.params["instances"] else None
    holding = module.params["holding"] or []
    entries = named([*names, *(item["name"] for item in holding)])
    accounts = {name: entry.pw_uid for name, entry in entries.items()}
    if module.params["holding"] is not None:
        gids = {entry.gr_name: entry.gr_gid for entry in grp.getgrall()}
        held = holders(module.params["holding"], accounts, gids)
        # account_info has warned about the session of this run.
        own = protected(names, entries, ancestors(os.getpid()))
        names = [name for name in names if name in held and name not in own]
    if wrong := protected(names, entries, ancestors(os.getpid())):
        module.fail_json(
            msg=f"{', '.join(wrong)}: sessions of system accounts and of this run are not ended. "
            "Connect as another account."
        )
    subuid = Path("/etc/subuid").read_text(encoding="utf-8") if Path("/etc/subuid").exists() else ""
    more = {name: subordinate_uids(name, subuid) for name in names}
    linger = Path("/var/lib/systemd/linger")
    running = [
        name
        for name in names
        if name in accounts and (processes(accounts[name], more[name]) or (linger / name).exists())
    ]
    stuck: dict[str, list[int]] = {}
    if not module.check_mode:
        for name in running:
            (linger / name).unlink(missing_ok=True)
            stuck[name] = end(accounts[name], more[name], module)
    removed = []
    for name in [name for name in names if name in leaving and name in accounts and not stuck.get(name)]:
        commands = owned_ipc(accounts[name])
        files = [str(path) for path in leftover_files(name, accounts[name], instances)]
        removed += [*files, *(" ".join(argv) for argv in commands)]
        if files:
            commands.append(["rm", "--recursive", "--force", "--one-file-system", "--", *files])
        for argv in commands if not module.check_mode else []:
            code, _output, error = module.run_command(
                ["timeout", "--kill-after=5", str(REMOVE_SECONDS), *argv], cwd="/"
            )
            if code:
                module.warn(
                    f"{name}: files could not be removed: {error.strip()[-300:] or argv[0]}. Remove them yourself."
                )
    if problem := "; ".join(f"{name}: {pids}" for name, pids in stuck.items() if pids):
        module.fail_json(
            msg=f"Killed processes do not end ({problem}): the kernel holds them. Restart the host.", ended=running
        )
    lost = [*(f"processes of {name}" for name in running), *removed]
    module.exit_json(
        changed=bool(lost),
        ended=running,
        removed=removed,
        diff={"before": "".join(f"{line}\n" for line in lost), "after": ""},
    )


if __name__ == "__main__":
    main()
