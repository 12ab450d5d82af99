# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, stop and read the systemd units of users' servers, without root."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from gpulab_hub.helper_client import exchange
from gpulab_hub.launcher import LARGEST, unit

LAUNCHER = "/run/gpulab/launcher.sock"
LOG = "see 'journalctl --unit gpulab-launcher@*'"
AT_ONCE = 32
"""Largest number of requests at a time, further ones wait; gpulab-launcher.socket drops those over 64."""
RUNNING = ("active", "activating", "reloading", "deactivating")
"""States of a unit (ActiveState) in which its processes may exist."""


places = asyncio.Semaphore(AT_ONCE)


class LauncherFailed(Exception):
    """The launcher failed or rejected a request; the message is for the administrator."""


async def call(request: Mapping[str, Any], path: str = LAUNCHER, patience: float = 150) -> None:
    """Send a request to gpulab-launcher.socket when a place is free; raise LauncherFailed after `patience` seconds."""
    try:
        async with places:
            line = await asyncio.wait_for(exchange(path, json.dumps(request).encode() + b"\n", LARGEST), patience)
    except asyncio.TimeoutError:
        raise LauncherFailed(f"{path} did not answer within {patience:.0f} s: {LOG}") from None
    except OSError as error:
        raise LauncherFailed(f"{path}: {error}: see 'systemctl status gpulab-launcher.socket'") from error
    try:
        answer = json.loads(line)
    except ValueError:
        raise LauncherFailed(f"{path} closed the connection without an answer: {LOG}") from None
    if "error" in answer:
        raise LauncherFailed(str(answer["error"]))


async def properties(name: str, *names: str) -> dict[str, str]:
    """Return properties of a unit, as systemd prints them."""
    argv = ["systemctl", "show", name, *(f"--property={item}" for item in names)]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    try:
        output = (await asyncio.wait_for(process.communicate(), 20))[0]
    except asyncio.TimeoutError:
        process.kill()
        raise LauncherFailed(f"systemctl show {name} did not answer within 20 s") from None
    return dict(line.partition("=")[::2] for line in output.decode().splitlines())


async def is_running(uid: int) -> bool:
    """Return whether a user's server runs, or is still being stopped."""
    return (await properties(unit(uid), "ActiveState")).get("ActiveState") in RUNNING


async def home_check_status(uid: int) -> int:
    """Return the exit status of the home check at the last start, 0 when it passed or never ran."""
    shown = await properties(unit(uid), "ExecStartPre")
    match = re.search(r"; status=(\d+)", shown.get("ExecStartPre", ""))
    return int(match[1]) if match else 0
