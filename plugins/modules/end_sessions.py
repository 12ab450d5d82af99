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
    slice, and kills what is left outside it.
  - Processes that do not end are reported when those of all users were killed.
  - An account of the system is refused, and so is the one that the module itself runs as.
options:
  names:
    description: Login names. One without an account is passed over.
    type: list
    elements: str
    required: true
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: none
    description: Names the people whose processes it ended.
"""

EXAMPLES = r"""
- name: End what somebody runs whose access was withdrawn
  gpulab.core.end_sessions:
    names: [eve]
"""

RETURN = r"""
ended:
  description: People who ran something.
  type: list
  elements: str
  returned: always
"""

import os
import pwd
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

LEAST_UID = 1000
PATIENCE = 10.0
"""Seconds that processes have to go after the kernel was told to end them."""
STOP_SECONDS = 20
"""Seconds that systemd has to kill, and then to stop, a slice."""


def processes(uid: int, proc: Path = Path("/proc")) -> list[int]:
    """Give the processes of a user, by owner of their entries in /proc; zombies are gone already."""
    found = []
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = dict(
                line.split(":", 1)
                for line in (entry / "status").read_text(encoding="utf-8").splitlines()
                if ":" in line
            )
        except OSError:
            continue
        if uid in [int(number) for number in fields["Uid"].split()[:2]] and not fields["State"].strip().startswith("Z"):
            found.append(int(entry.name))
    return found


def refused(names: Iterable[str], accounts: dict[str, int], own: int) -> list[str]:
    """Name the accounts that must not be ended."""
    return [name for name in names if name in accounts and (accounts[name] < LEAST_UID or accounts[name] == own)]


def end(uid: int, module: AnsibleModule) -> list[int]:
    """Kill all processes of one user and return those that the kernel has not ended after some seconds."""
    # Killed first: a process that ignores SIGTERM would go on for as long as systemd waits.
    for argv in (["kill", "--signal=KILL"], ["stop"]):
        module.run_command(["timeout", "--kill-after=5", str(STOP_SECONDS), "systemctl", *argv, f"user-{uid}.slice"])
    until = time.monotonic() + PATIENCE
    while (left := processes(uid)) and time.monotonic() < until:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.1)
    return left


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"names": {"type": "list", "elements": "str", "required": True}}, supports_check_mode=True
    )
    names = module.params["names"]
    accounts = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    if wrong := refused(names, accounts, os.getuid()):
        module.fail_json(msg=f"{', '.join(wrong)}: accounts of the system are not ended.")
    linger = Path("/var/lib/systemd/linger")
    running = [name for name in names if name in accounts and (processes(accounts[name]) or (linger / name).exists())]
    left: dict[str, list[int]] = {}
    if not module.check_mode:
        for name in running:
            (linger / name).unlink(missing_ok=True)
            left[name] = end(accounts[name], module)
    if stuck := "; ".join(f"{name}: {pids}" for name, pids in left.items() if pids):
        module.fail_json(
            msg=f"Killed processes do not end ({stuck}): the kernel holds them. Restart the host.", ended=running
        )
    module.exit_json(changed=bool(running), ended=running)


if __name__ == "__main__":
    main()
