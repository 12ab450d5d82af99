# SPDX-License-Identifier: GPL-3.0-or-later
"""The host has the minimum size."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.expected import Expected

READ = """
import json, os, re
disk = os.statvfs("/opt")
memory = int(re.search(r"MemTotal:\\s+(\\d+)", open("/proc/meminfo").read())[1]) * 1024
print(json.dumps({
    "cores": len(os.sched_getaffinity(0)), "memory_gb": memory / 1e9, "disk_gb": disk.f_frsize * disk.f_blocks / 1e9,
}))
"""


@pytest.mark.parametrize("size", ["cores", "memory_gb", "disk_gb"])
def test_host_has_the_least_size(host: Any, expected: Expected, size: str) -> None:
    """Cores, memory and disk are at least what is requested (25 GB, 2 cores and 7.5 GB unless lowered)."""
    sizes = json.loads(host.check_output("python3 -c %s", READ))
    assert sizes[size] >= expected.minimum[size]
