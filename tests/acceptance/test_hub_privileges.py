# SPDX-License-Identifier: GPL-3.0-or-later
"""The hub, the proxy and their helpers have few privileges, which a user who takes one of them over would get."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.hosts import as_hub, main_pid
from tests.support.hub import HubUser

LIMITS = {
    "gpulab-hub": 2.5,
    "gpulab-proxy": 2.5,
    "gpulab-certificates": 2.5,
    "gpulab-launcher@": 2.5,
    "gpulab-server@": 5.0,
}
"""The most that `systemd-analyze security` of systemd 252 may print for each unit."""
PROPERTIES = {
    "gpulab-hub": {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "CapabilityBoundingSet": "",
    },
    "gpulab-proxy": {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateDevices": "yes",
    },
    "gpulab-launcher@1-1-1": {"ProtectSystem": "strict", "ProtectHome": "yes", "CapabilityBoundingSet": ""},
    "gpulab-server@1000": {
        "NoNewPrivileges": "yes",
        "PrivateTmp": "yes",
        "ProtectProc": "invisible",
        "CapabilityBoundingSet": "",
    },
}
REQUEST = """
import json, socket
client = socket.socket(socket.AF_UNIX)
client.connect("/run/gpulab/launcher.sock")
client.sendall({line!r})
print(client.makefile().readline())
"""


def test_secrets_are_in_no_environment(host: Any) -> None:
    """Neither hub nor proxy holds its token where a child would inherit it."""
    for unit in ("gpulab-hub", "gpulab-proxy"):
        pid = main_pid(host, unit)
        names = host.check_output("tr '\\0' '\\n' < /proc/%s/environ | cut -d= -f1", pid)
        assert not [name for name in names.split() if "TOKEN" in name or "SECRET" in name]


@pytest.mark.parametrize("uid", [0, 1, 65534, 999999])
def test_hub_can_start_servers_of_listed_users_only(host: Any, uid: int) -> None:
    """Whatever a hub that was taken over requests."""
    line = json.dumps({"action": "start", "uid": uid, "environment": {}}).encode() + b"\n"
    assert "may not have a server" in (answer := as_hub(host, REQUEST.format(line=line))) or "is not listed" in answer
    host.run("systemctl start gpulab-server@%s.service", str(uid))
    assert host.check_output("systemctl show --property AssertResult --value gpulab-server@%s", str(uid)) == "no"


@pytest.mark.parametrize(
    "command",
    [
        "systemctl stop ssh",
        "systemctl restart gpulab-proxy",
        "systemd-run --wait true",
        "cat /etc/shadow",
        "ls /root",
        "ls {home}",
    ],
)
def test_account_of_the_hub_has_no_privileges(host: Any, command: str, neighbour: HubUser) -> None:
    """It gets what it needs from the launcher."""
    command = command.format(home=host.user(neighbour.name).home)
    assert host.run("setpriv --reuid=gpulab-hub --regid=gpulab-hub --init-groups sh -c %s </dev/null", command).rc != 0


@pytest.mark.parametrize("unit", list(LIMITS))
def test_exposure_is_small(host: Any, unit: str) -> None:
    """As systemd 252 counts it; elsewhere the list of properties decides."""
    if not host.check_output("systemctl --version").startswith("systemd 252"):
        pytest.skip("systemd counts differently here: see test_isolation_is_in_force")
    shown = host.run("systemd-analyze security --no-pager --offline=true /etc/systemd/system/%s.service", unit)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", shown.stdout + shown.stderr)
    assert found, shown
    assert float(found[1]) <= LIMITS[unit]


@pytest.mark.parametrize("unit", list(PROPERTIES))
def test_isolation_is_in_force(host: Any, unit: str) -> None:
    """What systemd has read of the units."""
    wanted = PROPERTIES[unit]
    shown = host.check_output("systemctl show %s " + " ".join(f"--property={name}" for name in wanted), unit)
    assert dict(line.partition("=")[::2] for line in shown.splitlines()) == wanted
