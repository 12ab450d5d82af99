# SPDX-License-Identifier: GPL-3.0-or-later
"""Each user has one limit, for notebooks and SSH together, and the kernel enforces it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.expected import Expected
from tests.support.hub import HubUser, Kernel, KernelDied
from tests.support.shell import Shell

GROUPS = "print(open('/proc/self/cgroup').read())"
EAT = "block = bytearray({0} * 2**20); print(len(block))"
FORK = """
import subprocess
started = []
try:
    for _ in range({0}):
        started.append(subprocess.Popen(['sleep', '9']))
    print('all')
except OSError as error:
    print(type(error).__name__, len(started))
for each in started:
    each.kill()
    each.wait()
"""
SPIN = """
import os, time
begun = time.monotonic()
for _ in range(2):
    if os.fork() == 0:
        while time.monotonic() - begun < 3:
            pass
        os._exit(0)
used = 0
for _ in range(2):
    usage = os.wait3(0)[2]
    used += usage.ru_utime + usage.ru_stime
print(round(used / (time.monotonic() - begun), 2))
"""
KILLED = (137, 247, 255)
"""How ssh reports a command that was killed: 128 + SIGKILL by the shell, 255 where the shell went too."""
MEGABYTE = 2**20
CAP_SYS_RESOURCE = 24
"""Its bit in the capabilities of /proc/PID/status (Linux: include/uapi/linux/capability.h)."""


def used(host: Any, slice_name: str) -> int:
    """Return the memory of all processes of the user in bytes."""
    return int(host.check_output("systemctl show --property MemoryCurrent --value %s", slice_name))


def expected_values(properties: dict[str, str], memory: int) -> dict[str, float]:
    """Compute what systemd shows for a requested limit on a host with so much memory."""
    found = {"CPUQuotaPerSecUSec": math.inf, "MemoryMax": math.inf, "MemorySwapMax": math.inf}
    if "CPUQuota" in properties:
        found["CPUQuotaPerSecUSec"] = float(properties["CPUQuota"].rstrip("%")) / 100
    for name in ("MemoryMax", "MemorySwapMax"):
        if name in properties:
            found[name] = amount(properties[name], memory)
    if "TasksMax" in properties:
        found["TasksMax"] = float(properties["TasksMax"])
    return found


def amount(text: str, memory: int) -> float:
    """Read a size as it is requested."""
    if text.endswith("%"):
        return float(text[:-1]) / 100 * memory
    factors = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    return float(text[:-1]) * factors[text[-1]] if text[-1] in factors else float(text)


def shown(value: str) -> float:
    """Read a property as systemd shows it: bytes, a number, seconds, or infinity."""
    if value == "infinity":
        return math.inf
    spans = {"ms": 0.001, "s": 1}
    parts = [re.fullmatch(r"([\d.]+)(ms|s)?", part) for part in value.split()]
    return sum(float(part[1]) * spans.get(part[2], 1) for part in parts if part)


def test_every_slice_has_the_requested_limits(host: Any, expected: Expected) -> None:
    """What systemd holds for each user is what was requested for them."""
    memory = int(host.check_output("awk '/^MemTotal/ {print $2}' /proc/meminfo")) * 1024
    for limit in expected.limits:
        if limit["name"] not in expected.present:
            continue
        unit = f"user-{host.user(limit['name']).uid}.slice"
        lines = host.check_output("systemctl show %s", unit).splitlines()
        found = dict(line.partition("=")[::2] for line in lines)
        for name, wanted in expected_values(limit["slice"], memory).items():
            assert shown(found[name]) == pytest.approx(wanted, rel=0.01), (limit, name)


def test_notebook_and_ssh_share_one_slice(kernel: Kernel, ssh: Shell, slice_name: str) -> None:
    """A kernel and a command over SSH are in the same slice."""
    for printed in (kernel.run(GROUPS), ssh.python(GROUPS).stdout):
        assert f"/user.slice/{slice_name}/" in printed


def test_server_survives_the_logout(kernel: Kernel, ssh: Shell, host: Any, slice_name: str) -> None:
    """When the last SSH session ends, logind tidies up; the hub's server runs on, and the kernel keeps its state."""
    kernel.run("kept = 42")
    assert ssh.run("true").returncode == 0
    until = time.monotonic() + 60
    # user@UID.service goes some seconds after the last session, and with it everything that only a login keeps.
    while host.run("systemctl is-active user@%s.service", slice_name[5:-6]).rc == 0:
        assert time.monotonic() < until, "logind does not end the login"
        time.sleep(0.5)
    assert kernel.run("print(kept)").strip() == "42"
    assert host.check_output("systemctl is-active %s", slice_name) == "active"


@pytest.fixture
def victim(hub_user: HubUser, expected: Expected) -> Iterator[Kernel]:
    """Return a kernel that may die."""
    with hub_user.kernel(expected.kernels["python"]) as started:
        started.run("import subprocess")
        yield started


def test_memory_limit_kills_in_a_notebook(victim: Kernel, host: Any, lower_limit: Any, slice_name: str) -> None:
    """A cell that takes what the limit has left is fine; one that takes more loses its kernel."""
    lower_limit(f"MemoryMax={used(host, slice_name) + 300 * MEGABYTE}")
    assert victim.run(EAT.format(150)).strip() == str(150 * MEGABYTE)
    with pytest.raises(KernelDied):
        victim.run(EAT.format(800))


def test_memory_limit_kills_over_ssh(
    ssh: Shell, host: Any, hub_user: HubUser, lower_limit: Any, slice_name: str
) -> None:
    """The same over SSH, where no spawner is involved."""
    lower_limit(f"MemoryMax={used(host, slice_name) + 300 * MEGABYTE}")
    assert ssh.python(EAT.format(100)).stdout.strip() == str(100 * MEGABYTE)
    assert ssh.python(EAT.format(800)).returncode in KILLED


def test_memory_limit_counts_both_together(
    victim: Kernel, ssh: Shell, host: Any, lower_limit: Any, slice_name: str
) -> None:
    """What a notebook holds is missing over SSH: each alone fits, both together do not."""
    lower_limit(f"MemoryMax={used(host, slice_name) + 500 * MEGABYTE}")
    assert ssh.python(EAT.format(350)).returncode == 0
    victim.run(EAT.format(350))
    over_ssh = ssh.python(EAT.format(350)).returncode
    try:
        survived = victim.run("print(len(block))").strip() == str(350 * MEGABYTE)
    except KernelDied:
        survived = False
    # Which of them, or whether both, is the kernel's choice.
    assert over_ssh in KILLED or not survived


def test_task_limit_rejects_everywhere(
    kernel: Kernel, ssh: Shell, host: Any, lower_limit: Any, slice_name: str
) -> None:
    """A fork bomb is rejected in a notebook, over SSH, and where both have a share; the host has tasks left."""
    assert kernel.run(FORK.format(60)).strip() == "all"
    tasks = int(host.check_output("systemctl show --property TasksCurrent --value %s", slice_name))
    lower_limit(f"TasksMax={tasks + 40}")
    assert kernel.run(FORK.format(60)).startswith("BlockingIOError")
    alone = ssh.python(FORK.format(20))
    assert alone.stdout.strip() == "all", alone
    kernel.run("import subprocess; held = [subprocess.Popen(['sleep', '60']) for _ in range(30)]")
    together = ssh.python(FORK.format(20))
    assert together.stdout.strip() != "all", together
    kernel.run("for each in held: each.kill(); each.wait()")
    assert host.run("true").rc == 0


def throttled(host: Any, slice_name: str) -> int:
    """Return how often the kernel throttled the user's processes."""
    found = host.check_output("find -L /sys/fs/cgroup -maxdepth 4 -path '*/%s/cpu.stat' -exec cat {} +" % slice_name)  # noqa: UP031
    return max(int(line.split()[1]) for line in found.splitlines() if line.startswith("nr_throttled"))


def test_cpu_limit_throttles_both_together(
    kernel: Kernel, ssh: Shell, host: Any, lower_limit: Any, slice_name: str
) -> None:
    """A fifth of a core is that much, in a notebook, over SSH, and for both at once together: the kernel throttles."""
    lower_limit("CPUQuota=20%")
    before = throttled(host, slice_name)
    rates = [float(kernel.run(SPIN)), float(ssh.python(SPIN).stdout)]
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda run: float(run()), [lambda: kernel.run(SPIN), lambda: ssh.python(SPIN).stdout]))
    assert 0 < max(*rates, sum(both)) < 0.35, (rates, both)
    assert throttled(host, slice_name) > before


@pytest.mark.parametrize("service", ["gpulab-hub", "gpulab-proxy"])
def test_hub_and_proxy_are_the_last_to_be_killed(host: Any, service: str) -> None:
    """The kernel's out-of-memory killer comes to hub and proxy last."""
    pid = host.check_output("systemctl show --property MainPID --value %s", service)
    if not int(host.check_output("awk '/^CapEff/ {print $2}' /proc/1/status"), 16) >> CAP_SYS_RESOURCE & 1:
        pytest.skip("the host is a container that may not lower its processes' OOM score: it was not tested")
    assert host.file(f"/proc/{pid}/oom_score_adj").content_string.strip() == "-900"


def test_kernels_have_no_privilege_when_memory_ends(kernel: Kernel) -> None:
    """Users' processes do not inherit what protects the hub."""
    assert int(kernel.run("print(open('/proc/self/oom_score_adj').read())")) >= 0
