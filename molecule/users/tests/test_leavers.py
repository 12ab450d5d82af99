"""Whatever a leaver left behind is archived, and stops no later run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import World

LEFT = """
import os, socket
os.chdir(os.path.expanduser("~"))
top = os.getcwd()
for _ in range(1500):
    os.mkdir("d" * 30)
    os.chdir("d" * 30)
os.chdir(top)
os.mkfifo("fifo")
socket.socket(socket.AF_UNIX).bind("socket")
os.symlink("/etc/shadow", "link")
os.symlink("/etc", "directory")
os.link(".bashrc", "hardlink")
for name in ("new\\nline", "-rf", "--checkpoint-action=exec=touch checkpoint"):
    open(name, "w").close()
with open("sparse", "w") as file:
    file.truncate(2**40)
os.mkdir("closed")
open("closed/inside", "w").close()
os.chmod("closed/inside", 0)
os.chmod("closed", 0)
open("setuid", "w").close()
os.chmod("setuid", 0o6755)
"""
OF_ROOT = """
set -e
cd /home/oscar
mknod device c 1 3
echo root >of-root; chmod 600 of-root
mkdir mounted; mount -t tmpfs none mounted; echo outside >mounted/outside
"""


@pytest.fixture(scope="module", autouse=True)
def leavers(world: World) -> Iterator[None]:
    """Let three users come, one of them with a home that stops programs that are not careful."""
    world.users = [world.account(name) for name in ("oscar", "peggy", "walter")]
    world.groups = {}
    world.sync()
    assert world.shell("oscar").python(LEFT).returncode == 0
    assert world.root(OF_ROOT).returncode == 0
    yield
    world.root("umount /home/.gpulab-leaving/*/oscar/mounted; rm -rf --one-file-system /home/.gpulab-leaving")
    world.root("rm -f /var/lib/gpulab/homes/*; userdel -rf oscar; userdel -rf peggy; userdel -rf walter")


def test_hostile_home_is_archived_and_the_run_goes_on(world: World) -> None:
    """Nothing outside is read or removed; what cannot be removed waits where only root can enter."""
    before = world.root("stat -c '%a %Y %i' /etc/shadow /etc").stdout
    world.users = [user for user in world.users if user["name"] == "walter"]
    world.sync(users_leavers_home="archive")
    for name in ("oscar", "peggy"):
        assert world.root(f"test -e /home/{name}").returncode == 1
        assert "gpulab-users" not in world.root(f"id -nG {name}").stdout
    assert world.root("stat -c '%a %Y %i' /etc").stdout.split()[-1] == before.split()[-1]
    listed = world.root("tar -tzvf /var/lib/gpulab/homes/oscar-*.tar.gz").stdout
    assert "oscar/link -> /etc/shadow" in listed
    assert "oscar/directory/" not in listed
    assert "mounted/outside" not in listed
    assert "oscar/closed/inside" in listed
    assert world.root("stat -c '%a %U' /home/.gpulab-leaving").stdout.split()[-2:] == ["700", "root"]
    assert world.root("cat /home/.gpulab-leaving/oscar-*/oscar/mounted/outside").stdout.split()[-1] == "outside"
    assert world.root("find /home/.gpulab-leaving -name checkpoint -o -name of-root").stdout.split() == []


def test_next_run_changes_nothing(world: World) -> None:
    """Neither one more archive nor a failure: the leaver has left the group."""
    assert "changed=0" in world.sync(users_leavers_home="archive")
    assert len(world.root("ls /var/lib/gpulab/homes/oscar-*").stdout.split()) == 1


def test_processes_that_ignore_the_end_are_killed_at_once(world: World) -> None:
    """A user who leaves gains no time with processes that ignore SIGTERM."""
    stubborn = "trap '' TERM HUP INT; while :; do sleep 1; done"
    with world.shell("walter").start(f'setsid sh -c "{stubborn}" & {stubborn}') as session:
        world.users = []
        world.sync()
        assert session.wait(timeout=20) != 0
    assert world.root("pgrep -u walter").returncode == 1
    assert world.seconds < 60
