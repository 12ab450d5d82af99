# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that shares GPUs of tests, and its users, who log in over SSH."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from tests.support.lab import LOCAL, Lab, Outcome
from tests.support.paths import ROOT
from tests.support.shell import Shell

USERS = ("ada", "bob", "eve")
DENIED = "Permission denied"
REACHED = "No such device or address"
"""ENXIO: the kernel has checked the access to the node, and no driver answers."""
OPTIONS: dict[str, Any] = {
    "gpu_sharing_policy": "timeslice",
    "gpu_sharing_slots_per_gpu": 2,
    "gpu_sharing_groups": [{"name": "staff-lab", "priority": 1}],
    "gpu_sharing_test_devices": ["/dev/nvidia0", "/dev/nvidia1"],
}


class SharingHost(Lab):
    """The host of molecule/sharing."""

    def __init__(self) -> None:
        super().__init__(LOCAL, "sharing")
        connection = json.loads(self.ansible("ansible-inventory", "--host", "sharing", timeout=120).stdout)
        values = {
            "address": connection["ansible_host"],
            "port": connection["ansible_port"],
            "arguments": connection["ansible_ssh_common_args"],
        }
        self.hub = "https://" + str(connection["local_host_ports"]["hub"]).rpartition(":")[0]
        self.users = {name: Shell(values, name, ROOT / "build" / "ssh" / "id_ed25519") for name in (*USERS, "root")}

    def apply(self, **options: Any) -> Outcome:
        """Run the role with some options changed."""
        return self.play("molecule/sharing/apply.yml", **{**OPTIONS, **options})

    def output(self, user: str, command: str) -> str:
        """Log in, run a command, and return what it prints, errors included."""
        done = self.users[user].run(f"{{ {command}; }} 2>&1")
        return done.stdout

    def state(self) -> dict[str, Any]:
        """Return the state that the broker shows."""
        return dict(json.loads(self.output("root", "gpulab top --json")))

    def holders(self) -> dict[str, list[str]]:
        """Return the users of each GPU, by its node."""
        state = self.state()
        return {
            gpu["name"].split()[0]: sorted(
                grant["user"] for grant in state["grants"] if gpu["uuid"] in [held["uuid"] for held in grant["gpus"]]
            )
            for gpu in state["gpus"]
        }

    def opens(self, user: str, node: str = "nvidia0", way: str = "{}") -> str:
        """Return the error of an attempt of a user to open a node; `way` is the command in which it happens."""
        return self.output(user, way.format(f"cat /dev/{node}"))

    def wait_until(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        """Wait for a state of the host; fail if it does not come."""
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, self.output("root", "journalctl --unit=gpulab-gpud --no-pager | tail -30")
            time.sleep(0.5)

    def restart(self) -> None:
        """Restart the host, and wait until the broker of the new boot runs."""
        boot = self.output("root", "cat /proc/sys/kernel/random/boot_id; systemctl show --property UserspaceTimestamp")
        self.users["root"].run("systemctl reboot")

        def is_up() -> bool:
            now = self.output(
                "root", "cat /proc/sys/kernel/random/boot_id; systemctl show --property UserspaceTimestamp"
            )
            return (
                bool(now) and now != boot and self.output("root", "systemctl is-active gpulab-gpud").strip() == "active"
            )

        self.wait_until(is_up)

    def release_all(self) -> None:
        """Release all that is held."""
        state = self.state()
        for entry in [*state["grants"], *state["waiting"]]:
            self.output("root", f"gpulab gpu release {entry['id']}")
