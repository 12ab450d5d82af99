# SPDX-License-Identifier: GPL-3.0-or-later
"""Services of a converged host, for tests."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from tests.support.hub import server_unit


def wait_for(condition: Callable[[], bool], seconds: float = 120, pause: float = 0.5) -> None:
    """Wait until a condition holds; fail when it does not hold after some seconds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not after {seconds:.0f} s"
        time.sleep(pause)


def main_pid(host: Any, unit: str) -> str:
    """Return the process id of a service."""
    return str(host.check_output("systemctl show --property MainPID --value %s", unit))


def server_address(host: Any, name: str) -> tuple[str, int]:
    """Return the address on which a user's server listens."""
    listening = host.check_output("ss -Hltnp")
    match = re.search(rf"\s(\d+\.\d+\.\d+\.\d+):(\d+)\s.*pid={main_pid(host, server_unit(host, name))},", listening)
    assert match, listening
    return match[1], int(match[2])


def as_hub(host: Any, code: str) -> str:
    """Run a Python program as the hub's account and return its output."""
    account = "setpriv --reuid=gpulab-hub --regid=gpulab-hub --clear-groups"
    return str(host.check_output(f"{account} /usr/bin/python3 -c %s", code))
