# SPDX-License-Identifier: GPL-3.0-or-later
"""Users who try to keep a GPU, or to get one, without a grant. A node of /dev/zero stands for a driver's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.sharing import DENIED, SharingHost

HOLD = "import sys, time; file = open('/dev/nvidia0', 'rb'); print('open', flush=True); time.sleep(600)"
MAPPED = (
    "import mmap, os, time; fd = os.open('/dev/nvidia0', os.O_RDWR); m = mmap.mmap(fd, 4096, flags=mmap.MAP_PRIVATE)"
)
RACE = """
import time
until = time.monotonic() + 40
kept = []
print('open', flush=True)
while time.monotonic() < until and len(kept) < 50:
    try:
        kept.append(open('/dev/nvidia0', 'rb'))
    except OSError:
        if kept:
            break
time.sleep(600)
"""


@pytest.fixture
def memory_node(lab: SharingHost) -> Iterator[SharingHost]:
    """Yield a host whose first GPU is a node of /dev/zero, which can be opened as a driver's node can."""
    change = "rm /dev/nvidia0; mknod --mode=0660 /dev/nvidia0 c 1 5; systemctl restart gpulab-gpud"
    lab.output("root", change)
    yield lab
    lab.output(
        "root",
        "rm /dev/nvidia0; systemd-tmpfiles --create /etc/tmpfiles.d/test-gpus.conf; systemctl restart gpulab-gpud",
    )


def check_that_it_ends_with_the_grant(lab: SharingHost, program: str) -> None:
    """Let a user who holds both GPUs run a program, release them, and wait for its end."""
    lab.output("ada", "gpulab gpu request --gpus 2")
    with lab.users["ada"].start(f'exec python3 -c "{program}"') as child:
        assert child.stdout
        assert child.stdout.readline() == "open\n"
        lab.release_all()
        lab.wait_until(lambda: child.poll() is not None)
        child.stop()


@pytest.mark.parametrize("program", [HOLD, f"{MAPPED}; os.close(fd); print('open', flush=True); time.sleep(600)", RACE])
def test_open_node_does_not_outlive_the_grant(memory_node: SharingHost, program: str) -> None:
    """A process that has it open or mapped, or opens it again and again, ends."""
    lab = memory_node
    check_that_it_ends_with_the_grant(lab, program)
    assert DENIED in lab.output("ada", "head --bytes 1 /dev/nvidia0")


def test_process_that_ignores_the_signal_is_killed(memory_node: SharingHost) -> None:
    """After the grace time."""
    lab = memory_node
    check_that_it_ends_with_the_grant(lab, f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {HOLD}")


def test_user_cannot_act_for_others(lab: SharingHost) -> None:
    """Neither release, nor request, nor adopt their processes; the database and the configuration are root's."""
    lab.output("ada", "gpulab gpu request")
    number = lab.state()["grants"][0]["id"]
    assert f"you have no request {number}" in lab.output("bob", f"gpulab gpu release {number}")
    assert "not a process of bob" in lab.output("bob", "gpulab gpu adopt 1")
    assert DENIED in lab.output("bob", "cat /var/lib/gpulab/gpu/gpu.sqlite")
    assert DENIED in lab.output("bob", "echo {} > /etc/gpulab/gpu.json")
    python = (
        "python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/gpulab/gpu.sock'); "
        "s.sendall(b'DELETE /v1/requests?door=ssh&user=ada HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'); print(s.recv(4000))\""
    )
    assert "may not act for other users" in lab.output("bob", python)
    assert [grant["user"] for grant in lab.state()["grants"]] == ["ada"]
