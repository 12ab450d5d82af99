# SPDX-License-Identifier: GPL-3.0-or-later
"""Twenty users install packages of their own at once, and each of them gets their own only."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.lab import Lab
from tests.support.packages import wheel

USERS = [f"verify{number:02}" for number in range(20)]
PROGRAMS = ("pip", "uv pip")
WHEELS = "/var/tmp/verify-wheels"
"""Of root; users only read it."""


@pytest.fixture(scope="module")
def users(lab: Lab) -> Iterator[list[str]]:
    """Make accounts in the users' group, and a package for each."""
    lab.within("sh", "-ec", f"mkdir -p {WHEELS}; touch {WHEELS}/begin")
    for name in USERS:
        file, content = wheel(f"{name}-package", "torch", "numpy")
        text = base64.b64encode(content).decode("ascii")
        make = f"useradd --create-home --shell /bin/bash --groups gpulab-users {name}"
        lab.within("sh", "-ec", f"{make}; echo {text} | base64 -d > {WHEELS}/{file}; chmod -R a+rX {WHEELS}")
    yield USERS
    for name in USERS:
        lab.within("sh", "-c", f"pkill -KILL -u {name}; userdel --force --remove {name} 2>/dev/null")
    lab.within("rm", "-rf", WHEELS)


@pytest.fixture(scope="module")
def reports(lab: Lab, users: list[str]) -> dict[str, str]:
    """Let all users install their package at once, in a first login, and return what each login has printed."""

    def install(number: int) -> str:
        name = users[number]
        program = PROGRAMS[number % len(PROGRAMS)]
        command = (
            f"{program} install --quiet --no-index --find-links {WHEELS} {name}-package && "
            f"python -c 'import numpy, {name}_package; print({name}_package.__file__)' && gpulab env list"
        )
        return lab.within("runuser", "-l", name, "-c", command)

    with ThreadPoolExecutor(len(users)) as pool:
        return dict(zip(users, pool.map(install, range(len(users))), strict=True))


@pytest.mark.parametrize("name", USERS)
def test_user_has_the_own_package_only(reports: dict[str, str], name: str) -> None:
    """Installed with pip or uv, into the user's own home; the frameworks are the lab's."""
    module, listed, *rest = reports[name].splitlines()
    assert module.startswith(f"/home/{name}/.local/share/gpulab/envs/")
    assert ": 1 packages of yours in " in listed
    assert not rest


def test_labs_environment_is_as_it_was(lab: Lab, reports: dict[str, str]) -> None:
    """No file of a release is newer than the users' accounts."""
    assert lab.within("sh", "-c", f"find /opt/gpulab/envs/*/current/ -newer {WHEELS}/begin -type f") == ""
