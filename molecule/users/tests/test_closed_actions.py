# SPDX-License-Identifier: GPL-3.0-or-later
"""Where polkit is installed, ordinary users are authorised for nothing; administrators keep their sessions and sudo."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator

import pytest

from tests.support.users import UsersHost

LOGIND = "org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager"
ACTIONS = {
    "loginctl --no-ask-password enable-linger": ["Access denied"],
    "loginctl --no-ask-password enable-linger root": ["Access denied"],
    "pkexec --disable-internal-agent id": ["Not authorized", "setuid root"],
    "systemctl --no-ask-password stop ssh.service": ["Access denied"],
    "systemctl --no-ask-password set-property user.slice TasksMax=100": ["Access denied"],
    f"busctl call {LOGIND} SetUserLinger ubb $(id -u) true false": ["Access denied"],
    f"busctl call {LOGIND} PowerOff b false": ["Access denied"],
    f"busctl call {LOGIND} CanReboot": ['s "no"'],
    "systemd-inhibit --mode=delay --what=shutdown true": ["Access denied"],
    "systemd-inhibit --mode=block --what=idle true": ["Access denied"],
    "hostnamectl --no-ask-password set-hostname other": ["Access denied"],
    "timedatectl --no-ask-password set-time 2031-01-01": ["Access denied"],
    "systemd-run --no-ask-password true": ["Access denied"],
}
"""What a user tries, and what the answer must hold one of. Without the rules, several succeed or ask for a password."""

RUN = """
import subprocess
done = subprocess.run(["sh", "-c", {command!r}], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
print(done.stdout + done.stderr)
"""

Door = Callable[[str], str]
"""Runs a shell command as the user and returns all that it printed."""


@pytest.fixture(scope="module", autouse=True)
def two_users(world: UsersHost) -> Iterator[None]:
    """Make an ordinary user and an administrator of the host, then install polkit: the rules are there before it."""
    world.users = [world.account("mallory"), world.account("trent", groups=["sudo"])]
    world.groups = {}
    world.sync()
    done = world.root(
        "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends polkitd pkexec cron at"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # cron and at are new: their services of PAM are isolated by the next run.
    world.sync()
    yield
    world.users = []
    world.sync()
    world.root("userdel -rf mallory; userdel -rf trent")


@pytest.fixture(scope="module", params=["ssh", "notebook"])
def door(request: pytest.FixtureRequest, world: UsersHost) -> Iterator[Door]:
    """Give a way to run commands as the ordinary user."""
    if request.param == "ssh":
        yield lambda command: world.shell("mallory").run(f"sh -c {shlex.quote(command)} 2>&1 </dev/null").stdout
        return
    hub_user = world.hub_user("mallory")
    hub_user.start_server()
    with hub_user.kernel("ml") as kernel:
        yield lambda command: kernel.run(RUN.format(command=command))
    hub_user.stop_server()


def test_users_are_authorised_for_nothing(door: Door, world: UsersHost) -> None:
    """Neither actions that polkit allows all users by default, nor those that need a password."""
    answers = {command: door(command) for command in ACTIONS}
    allowed = {
        command: answer for command, answer in answers.items() if not any(word in answer for word in ACTIONS[command])
    }
    assert allowed == {}
    assert world.root("ls /var/lib/systemd/linger").stdout.split() == []
    assert world.root("systemctl is-active ssh").stdout.split()[-1] == "active"


def test_administrators_of_the_host_are_left_as_they_are(world: UsersHost) -> None:
    """Members of the group sudo see the host's processes, /tmp and umask, and polkit asks them for their password."""
    shell = world.shell("trent")
    seen = shell.run("umask; readlink /proc/self/ns/mnt; ps -e -o user= | sort -u")
    assert seen.returncode == 0, seen.stderr
    umask, namespace, *owners = seen.stdout.split()
    assert umask == "0022"
    assert namespace == world.root("readlink /proc/1/ns/mnt").stdout.split()[-1]
    assert "root" in owners
    assert "Interactive authentication required" in shell.run("systemctl --no-ask-password stop ssh").stderr
    assert world.root("sudo -u trent true; su - trent -c umask").stdout.split()[-1] == "0022"


def test_other_accounts_are_not_isolated(world: UsersHost) -> None:
    """Root and accounts outside the group open sessions as ever, whatever PAM service opens them."""
    world.root("useradd --create-home outside")
    try:
        for name in ("root", "outside"):
            assert world.root(f"su - {name} -c 'umask; id -un'").stdout.split()[-2:] == ["0022", name]
    finally:
        world.root("userdel -rf outside")
