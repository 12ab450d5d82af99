#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.end_sessions."""

from __future__ import annotations

DOCUMENTATION = r"""
module: end_sessions
author: The gpulab team (@gpulab)
short_description: End everything that somebody runs on a host
description:
  - Kills everything in the slice of each named user (logins and servers of the hub), switches lingering off, stops the
    slice, and kills what is left outside it, also processes with a subordinate uid of the user (subuid(5)).
  - Processes that do not end are reported when those of all users were killed.
  - For users who leave, it also removes what they keep in memory (C(/dev/shm), IPC of System V and POSIX) and in their
    own /tmp. Files in homes and shared directories stay.
  - An account of the system is rejected, and so is one that the module itself runs as or is started from.
options:
  names:
    description: Login names. One without an account is passed over.
    type: list
    elements: str
    required: true
  leaving:
    description: Those of O(names) who leave.
    type: list
    elements: str
    default: []
  holding:
    description:
      - Memberships that were revoked. Those of O(names) count alone who run a process that still holds one of them, for
        example one that a program with the set-group-ID bit has started meanwhile.
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
    description: Directory whose subdirectories hold the users' own /tmp and /var/tmp, by name of the user.
    type: path
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: full
    description: Shows the users whose processes it ends, and what it removes.
"""

EXAMPLES = r"""
- name: End what somebody runs whose access was revoked
  gpulab.core.end_sessions:
    names: [eve, victor]
    leaving: [eve]
    instances: /var/lib/gpulab/sessions
"""

RETURN = r"""
ended:
  description: Users who ran something.
  type: list
  elements: str
  returned: always
removed:
  description: What leavers kept in memory and in their own /tmp and was removed, or would be.
  type: list
  elements: str
  returned: always
"""

import grp
import os
import pwd
import signal
import time
from collections.abc import Iterable, Sequence, Set
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.processes import PROC, ancestors
from ansible_collections.gpulab.core.plugins.module_utils.processes import processes as all_processes

LEAST_UID = 1000
PATIENCE = 10.0
"""Seconds that processes have to go after the kernel was told to end them."""
STOP_SECONDS = 20
"""Seconds that systemd has to kill, and then to stop, a slice."""
REMOVE_SECONDS = 300
"""Seconds that removing what one leaver kept in memory and in /tmp may take."""
IN_MEMORY = (Path("/dev/shm"), Path("/dev/mqueue"), Path("/run/lock"))  # noqa: S108  # nothing is written there
IPC = {"shm": ("shmid", "--shmem-id"), "sem": ("semid", "--semaphore-id"), "msg": ("msqid", "--queue-id")}
"""Tables in /proc/sysvipc: the column of the number, and the option of ipcrm(1)."""


def subordinate_uids(name: str, text: str) -> list[range]:
    """Return the uids that a user may give to processes in a user namespace, from the text of /etc/subuid."""
    lines = [line.split(":") for line in text.splitlines()]
    return [
        range(int(line[1]), int(line[1]) + int(line[2]))
        for line in lines
        if len(line) == 3 and line[0] == name and line[1].isdecimal() and int(line[1]) >= LEAST_UID
    ]


def processes(uid: int, more: Sequence[range] = (), proc: Path = PROC) -> list[int]:
    """Return the processes that have one of a user's uids, in any of the four ways; zombies are gone already."""
    return [
        process.pid
        for process in all_processes(proc)
        if uid in process.uids or any(number in numbers for number in process.uids for numbers in more)
    ]


def refused(names: Iterable[str], accounts: dict[str, int], own: Set[int]) -> list[str]:
    """Return the accounts that must not be ended: those of the system, and `own` ones that this run descends from."""
    return [name for name in names if name in accounts and (accounts[name] < LEAST_UID or accounts[name] in own)]


def holders(memberships: Iterable[dict[str, str]], accounts: dict[str, int], gids: dict[str, int]) -> set[str]:
    """Return the users who run a process that holds one of their memberships."""
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
    """Kill all processes of one user and return those that the kernel has not ended after some seconds."""
    # Killed first: a process that ignores SIGTERM would go on for as long as systemd waits.
    for argv in (["kill", "--signal=KILL"], ["stop"]):
        module.run_command(["timeout", "--kill-after=5", str(STOP_SECONDS), "systemctl", *argv, f"user-{uid}.slice"])
    until = time.monotonic() + PATIENCE
    while (left := processes(uid, more)) and time.monotonic() < until:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.1)
    return left


def owned_ipc(uid: int, proc: Path = PROC) -> list[list[str]]:
    """Return the commands that remove a user's shared memory, semaphores and message queues (System V)."""
    found = []
    for table, (number, option) in IPC.items():
        path = proc / "sysvipc" / table
        heading, *lines = path.read_text(encoding="ascii").splitlines() if path.exists() else [""]
        rows = [dict(zip(heading.split(), line.split(), strict=False)) for line in lines]
        found += [["ipcrm", option, row[number]] for row in rows if str(uid) in (row["uid"], row["cuid"])]
    return found


def owner(path: Path) -> int | None:
    """Return the uid of what is there, None where it has gone."""
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def left_files(name: str, uid: int, instances: Path | None, memory: Iterable[Path] = IN_MEMORY) -> list[Path]:
    """Return what a user keeps in memory, and the user's own directories below `instances`."""
    places = [path for directory in memory if directory.is_dir() for path in directory.iterdir() if owner(path) == uid]
    if instances and instances.is_dir():
        places += [path for directory in instances.iterdir() if (path := directory / name).is_dir()]
    return sorted(places)


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
    accounts = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    if module.params["holding"] is not None:
        gids = {entry.gr_name: entry.gr_gid for entry in grp.getgrall()}
        held = holders(module.params["holding"], accounts, gids)
        # The session of this run is named by the module that compares accounts.
        own = refused(names, accounts, ancestors(os.getpid()))
        names = [name for name in names if name in held and name not in own]
    if wrong := refused(names, accounts, ancestors(os.getpid())):
        module.fail_json(
            msg=f"{', '.join(wrong)}: accounts of the system and of this run are not ended. Connect as another account."
        )
    subuid = Path("/etc/subuid").read_text(encoding="utf-8") if Path("/etc/subuid").exists() else ""
    more = {name: subordinate_uids(name, subuid) for name in names}
    linger = Path("/var/lib/systemd/linger")
    running = [
        name
        for name in names
        if name in accounts and (processes(accounts[name], more[name]) or (linger / name).exists())
    ]
    left: dict[str, list[int]] = {}
    if not module.check_mode:
        for name in running:
            (linger / name).unlink(missing_ok=True)
            left[name] = end(accounts[name], more[name], module)
    removed = []
    for name in [name for name in names if name in leaving and name in accounts and not left.get(name)]:
        commands = owned_ipc(accounts[name])
        files = [str(path) for path in left_files(name, accounts[name], instances)]
        removed += [*files, *(" ".join(argv) for argv in commands)]
        if files:
            commands.append(["rm", "--recursive", "--force", "--one-file-system", "--", *files])
        for argv in commands if not module.check_mode else []:
            code, _output, error = module.run_command(
                ["timeout", "--kill-after=5", str(REMOVE_SECONDS), *argv], cwd="/"
            )
            if code:
                module.warn(f"{name} left what is not removed: {error.strip()[-300:] or argv[0]}. Remove it yourself.")
    if stuck := "; ".join(f"{name}: {pids}" for name, pids in left.items() if pids):
        module.fail_json(
            msg=f"Killed processes do not end ({stuck}): the kernel holds them. Restart the host.", ended=running
        )
    gone = [*(f"processes of {name}" for name in running), *removed]
    module.exit_json(
        changed=bool(gone),
        ended=running,
        removed=removed,
        diff={"before": "".join(f"{line}\n" for line in gone), "after": ""},
    )


if __name__ == "__main__":
    main()
