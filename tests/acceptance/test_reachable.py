# SPDX-License-Identifier: GPL-3.0-or-later
"""What users need can be reached by each of them, whatever umask root had when it was installed."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests.support.expected import Expected

KERNELS = "/usr/local/share/jupyter/kernels"


def run_as(host: Any, name: str, command: str) -> Any:
    """Run a command as a user, without a login."""
    return host.run("timeout 120 runuser -u %s -- sh -c %s", name, f"cd / && {command}")


def test_every_user_is_known_to_the_system(host: Any, expected: Expected) -> None:
    """By name and by number, in the group of all users and in the requested ones, as processes of the user get them."""
    for user in expected.users:
        if user["name"] not in expected.present:
            continue
        entry = host.check_output("getent passwd %s", user["name"]).split(":")
        assert host.check_output("getent passwd %s", entry[2]).split(":")[0] == user["name"]
        groups = run_as(host, user["name"], "id -nG").stdout.split()
        assert {expected.users_group, *user.get("groups", [])} <= set(groups), (user["name"], groups)


def test_every_user_reads_the_kernels(host: Any, expected: Expected) -> None:
    """Each kernel's file is readable, and its program can be run."""
    for name in expected.present:
        for kernel in expected.kernels.values():
            done = run_as(host, name, f"cat {KERNELS}/{kernel}/kernel.json")
            assert done.rc == 0, (name, done.stderr)
            program = json.loads(done.stdout)["argv"][0]
            assert run_as(host, name, f"command -v {program}").rc == 0, (name, program)


def test_hub_answers_on_its_port_from_the_controller(expected: Expected) -> None:
    """A firewall on the host or in front of it would close it to the users, too."""
    address = expected.connection["address"]
    if expected.disposable or expected.hub["address"] in ("127.0.0.1", "::1"):
        pytest.skip("the hub of this host is not offered on its own address")
    with socket.create_connection((address, expected.hub["port"]), timeout=20):
        pass


def test_every_member_lists_and_writes_the_shared_directory(host: Any, expected: Expected) -> None:
    """Other users cannot enter it."""
    if not expected.shared["groups"]:
        pytest.skip("no group of this host has a shared directory")
    for group in expected.shared["groups"]:
        path = f"{expected.shared['path']}/{group}"
        for user in expected.users:
            if user["name"] not in expected.present:
                continue
            member = group in user.get("groups", [])
            assert (run_as(host, user["name"], f"ls {path} && test -w {path}").rc == 0) is member, (user["name"], path)
