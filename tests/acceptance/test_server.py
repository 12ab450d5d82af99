# SPDX-License-Identifier: GPL-3.0-or-later
"""The hub and users' servers run with the expected properties."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.hub import HubUser, Kernel, server_unit


@pytest.fixture(scope="module")
def unit(host: Any, hub_user: HubUser) -> dict[str, str]:
    """Return the properties of the user's running unit."""
    shown = host.check_output("systemctl show %s", server_unit(host, hub_user.name))
    return dict(line.partition("=")[::2] for line in shown.splitlines())


@pytest.mark.parametrize("service", ["gpulab-hub", "gpulab-proxy"])
def test_service_runs_and_starts_at_boot(host: Any, service: str) -> None:
    """Hub and proxy are up now and after the next boot."""
    assert host.service(service).is_running
    assert host.service(service).is_enabled


def test_no_unit_has_failed(host: Any) -> None:
    """No unit of ours is in the state "failed"."""
    assert host.check_output("systemctl list-units --failed --plain --no-legend 'gpulab*'") == ""


STATE, CONFIG = "/var/lib/gpulab/jupyterhub", "/etc/gpulab/jupyterhub"


@pytest.mark.parametrize(
    ("path", "user", "mode"),
    [
        (STATE, "gpulab-hub", 0o750),
        (f"{STATE}/jupyterhub.sqlite", "gpulab-hub", 0o600),
        (f"{STATE}/cookie_secret", "gpulab-hub", 0o600),
        (f"{STATE}/tls/authority.key", "gpulab-hub", 0o600),
        (CONFIG, "root", 0o750),
        (f"{CONFIG}/jupyterhub_config.py", "root", 0o640),
        (f"{CONFIG}/proxy_token", "root", 0o640),
    ],
)
def test_secrets_are_private(host: Any, path: str, user: str, mode: int) -> None:
    """State is the hub's alone; its configuration is root's, and the hub reads it."""
    assert (host.file(path).user, host.file(path).group, host.file(path).mode) == (user, "gpulab-hub", mode)


def test_server_runs_as_the_user(unit: dict[str, str], hub_user: HubUser, host: Any) -> None:
    """The unit belongs to the user's own account."""
    assert unit["ActiveState"] == "active"
    assert host.user(hub_user.name).uid == int(host.check_output("id -u %s", unit["User"] or unit["UID"]))


def test_server_is_isolated(unit: dict[str, str]) -> None:
    """A private /tmp, no new privileges, other users' processes invisible."""
    assert unit["PrivateTmp"] == "yes"
    assert unit["NoNewPrivileges"] == "yes"
    assert unit["ProtectProc"] == "invisible"


def test_server_outlives_a_kernel_that_took_too_much(unit: dict[str, str]) -> None:
    """Where the kernel reports such an end to systemd (cgroup v2), the rest of the server continues."""
    assert unit["OOMPolicy"] == "continue"


def test_server_that_hangs_is_ended_soon(unit: dict[str, str]) -> None:
    """Until then its user cannot start another one."""
    assert unit["TimeoutStopUSec"] == "30s"


CHANNELS = """
import json
from ipykernel.kernelapp import IPKernelApp
app = IPKernelApp.instance()
print(json.dumps({"transport": app.transport, "sockets": [f"{app.ip}-{p}" for p in (app.shell_port, app.iopub_port)]}))
"""


def test_kernel_channels_are_out_of_others_reach(host: Any, kernel: Kernel) -> None:
    """A kernel's channels are sockets that others cannot reach: over TCP, all users of the host could read them."""
    channels = json.loads(kernel.run(CHANNELS))
    assert channels["transport"] == "ipc"
    for path in channels["sockets"]:
        # In memory that only this unit sees.
        assert kernel.run(f"import os; print(os.path.exists({path!r}))").strip() == "True"
        assert not host.file(path).exists
