# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel enforces the limits that systemd accepts. In a container they can be set and silently ignored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.expected import Expected

EAT = "x = bytearray(400 * 2**20); print(len(x))"
NODE = "/dev/gpulab-verify"
FORK = "import subprocess; [subprocess.Popen(['sleep', '1']) for _ in range(40)]"


def transient(host: Any, limits: list[str], code: str) -> Any:
    """Run a Python program in a unit of its own with these limits; the exit code is 0 or 1."""
    properties = " ".join(f"--property={limit}" for limit in limits)
    run = f"systemd-run --wait --quiet --collect --pipe {properties} python3 -c %s || exit 1"
    return host.run(run, code)


def test_memory_limit_kills(host: Any) -> None:
    """A unit that takes more memory than it may is killed; without the limit it runs."""
    assert transient(host, ["MemoryMax=100M", "MemorySwapMax=0"], EAT).rc == 1
    assert transient(host, ["MemoryMax=2G"], EAT).rc == 0


def test_task_limit_rejects(host: Any) -> None:
    """A unit that starts more tasks than it may is rejected; without the limit it runs."""
    assert "Resource temporarily unavailable" in transient(host, ["TasksMax=10"], FORK).stderr
    assert transient(host, ["TasksMax=200"], FORK).rc == 0


@pytest.fixture
def node(host: Any, expected: Expected) -> Iterator[str]:
    """Make a device node of NVIDIA's major number that no driver serves."""
    if not expected.disposable:
        pytest.skip("this is a live host: no device node is made on it")
    host.check_output("mknod --mode=666 %s c 195 250", NODE)
    yield NODE
    host.check_output("rm %s", NODE)


def test_device_policy_is_enforced(host: Any, node: str) -> None:
    """Behind a closed policy a node opens only when it is named; the kernel then looks for its driver."""
    read = f"open({node!r})"
    assert "Operation not permitted" in transient(host, ["DevicePolicy=closed"], read).stderr
    named = ["DevicePolicy=closed", f"'DeviceAllow={node} rw'"]
    assert "No such device or address" in transient(host, named, read).stderr
