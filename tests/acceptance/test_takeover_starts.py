# SPDX-License-Identifier: GPL-3.0-or-later
"""While a user's server starts and stops, its user gains nothing from outside of the own slice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.expected import Expected
from tests.support.hub import HubUser
from tests.support.shell import Shell

WATCH = """
import glob, os, signal
findings = set()
while not ended():
    for path in glob.glob("/proc/[0-9]*"):
        try:
            if os.stat(path).st_uid != os.getuid():
                continue
            groups = open(path + "/cgroup").read()
            environment = open(path + "/environ", "rb").read()
            command = open(path + "/cmdline", "rb").read()
        except OSError:
            continue
        if f"user-{{os.getuid()}}.slice" not in groups:
            findings.add("outside of the slice")
        if b"CONFIGPROXY" in environment:
            findings.add("token of the proxy")
        if {stop} and (b"gpulab_server.home" in command or b"tempfile.TemporaryFile" in command):
            os.kill(int(path.rpartition("/")[2]), signal.SIGSTOP)
            findings.add("stopped")
print(sorted(findings), flush=True)
"""


def test_nothing_runs_with_a_users_uid_outside_of_the_users_slice(ssh: Shell, hub_user: HubUser) -> None:
    """While a server starts, its user reads every own process: none is the hub's child, none has a token."""
    hub_user.stop_server()
    with ssh.watching(WATCH.format(stop=False)) as findings:
        hub_user.start_server()
        assert findings() == "[]"


@pytest.fixture
def short_limits(host: Any, expected: Expected) -> Iterator[None]:
    """Lower the time limits of servers until the end of the test; on disposable hosts only."""
    if not expected.disposable:
        pytest.skip("this is a live host: no time limit is lowered on it")
    drop_in = "/run/systemd/system/gpulab-server@.service.d"
    text = "[Service]\\nTimeoutStartSec=5\\nTimeoutStopSec=5\\n"
    host.check_output(f"mkdir -p {drop_in} && printf '{text}' > {drop_in}/limit.conf && systemctl daemon-reload")
    yield
    host.check_output(f"rm -r {drop_in} && systemctl daemon-reload")


@pytest.mark.usefixtures("short_limits")
def test_stopped_home_check_ends_and_does_not_delay_others(ssh: Shell, hub_user: HubUser, neighbour: HubUser) -> None:
    """The user's own start fails at the unit's time limit; meanwhile a neighbour's server starts."""
    hub_user.stop_server()
    neighbour.stop_server()
    try:
        with ssh.watching(WATCH.format(stop=True)) as findings:
            began = time.monotonic()
            with pytest.raises(RuntimeError, match="HTTP 500"):
                hub_user.start_server(60)
            assert time.monotonic() - began < 60
            neighbour.start_server()
            assert "stopped" in findings()
    finally:
        hub_user.start_server()


@pytest.mark.usefixtures("short_limits")
def test_old_processes_are_gone_before_a_server_starts_again(host: Any, hub_user: HubUser, expected: Expected) -> None:
    """A child that ignores SIGTERM does not live on into the next server."""
    code = (
        "import subprocess\nargv = ['sh', '-c', \"trap '' TERM; sleep 300; sleep 300\"]\n"
        "print(subprocess.Popen(argv, start_new_session=True).pid)"
    )
    with hub_user.kernel(expected.kernels["python"]) as started:
        pid = started.run(code).strip()
    assert host.run("test -d /proc/%s", pid).rc == 0
    hub_user.stop_server()
    hub_user.start_server()
    assert host.run("test -d /proc/%s", pid).rc == 1
