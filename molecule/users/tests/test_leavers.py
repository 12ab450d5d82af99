# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a leaver left behind is archived, and stops no later run."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator

import pytest

from tests.support.users import UsersHost

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
open(bytes((255, 254)) + b" not UTF-8", "w").close()
os.mkdir("read-only")
open("read-only/inside", "w").close()
os.chmod("read-only", 0o555)
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
setfacl --modify u:nobody:rwx .; setfacl --modify d:u:nobody:rwx .
# Containers and some file systems have no such flag: the home is then one directory easier to remove.
mkdir immutable; touch immutable/inside; chattr +i immutable 2>/dev/null || true
"""
KEPT = """
import ctypes, os
libc, key = ctypes.CDLL(None, use_errno=True), 0x67707531
for found in (libc.shmget(key, 4096, 0o1666), libc.semget(key, 1, 0o1666), libc.msgget(key, 0o1666)):
    assert found >= 0, ctypes.get_errno()
os.makedirs("/dev/shm/walter/deep")
open("/dev/shm/sem.walter", "w").write("x" * 100000)
open("/tmp/left", "w").close()
open("/var/tmp/left", "w").close()
os.mkdir(os.path.expanduser("~/bin"))
for path in (os.path.expanduser("~/bin/setuid"), "/srv/shared/class-2034/setuid"):
    open(path, "w").close()
    os.chmod(path, 0o4755)
"""
JOBS = """
printf '* * * * * touch /var/tmp/cron-ran\n' | crontab - && echo 'touch /var/tmp/at-ran' | at now + 2 minutes
"""
PLANTED = """
set -e
cd /srv/shared/class-2034
mknod null c 1 3; chmod 666 null
cp /bin/true of-root; chmod 4755 of-root
cp /bin/true capable; setcap cap_setuid+ep capable
"""
FORKS = """
import os, time
while True:
    if os.fork():
        os._exit(0)
    time.sleep(0.01)
"""


@pytest.fixture(scope="module", autouse=True)
def leavers(world: UsersHost) -> Iterator[None]:
    """Let three users come, one of them with a home that stops programs that are not careful."""
    done = world.root("DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends cron at libcap2-bin")
    assert done.returncode == 0, done.stdout + done.stderr
    world.users = [world.account(name, groups=["class-2034"]) for name in ("oscar", "peggy", "walter")]
    world.groups = {"class-2034": {"shared_directory": True}}
    world.sync()
    assert world.shell("oscar").python(LEFT).returncode == 0
    assert world.root(OF_ROOT).returncode == 0
    yield
    world.root("chattr -R -i /home/.gpulab-leaving; umount /home/.gpulab-leaving/*/oscar/mounted")
    world.root("rm -rf --one-file-system /home/.gpulab-leaving /srv/shared/class-2034; rm -f /var/lib/gpulab/homes/*")
    world.root("rm -f /var/spool/cron/crontabs/walter /var/spool/cron/atjobs/*")
    world.root("for name in oscar peggy walter; do userdel -rf $name; done; groupdel class-2034")


def test_hostile_home_is_archived_and_the_run_goes_on(world: UsersHost) -> None:
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


def test_next_run_changes_nothing(world: UsersHost) -> None:
    """Neither one more archive nor a failure: the leaver has left the group."""
    assert "changed=0" in world.sync(users_leavers_home="archive")
    assert len(world.root("ls /var/lib/gpulab/homes/oscar-*").stdout.split()) == 1


def test_processes_that_ignore_the_end_are_killed_at_once(world: UsersHost) -> None:
    """A user who leaves gains no time with processes that ignore SIGTERM, or that never stay the same process."""
    shell = world.shell("walter")
    assert shell.python(KEPT).returncode == 0
    assert shell.run(JOBS).returncode == 0
    assert world.root(PLANTED).returncode == 0
    assert shell.run(f"setsid /usr/bin/python3 -c {shlex.quote(FORKS)} >/dev/null 2>&1 </dev/null &").returncode == 0
    stubborn = "trap '' TERM HUP INT; while :; do sleep 1; done"
    with shell.start(f'setsid sh -c "{stubborn}" & {stubborn}') as session:
        world.users = []
        world.sync()
        assert session.wait(timeout=20) != 0
    assert world.root("pgrep -u walter").returncode == 1
    assert world.seconds < 60


def test_nothing_of_a_leaver_stays_in_memory(world: UsersHost) -> None:
    """Files, IPC, the own /tmp, the runtime directory and lingering; the home stays."""
    assert world.root("find /dev/shm /run/user /var/lib/systemd/linger -user walter").stdout.strip() == ""
    assert world.root("ls -d /var/lib/gpulab/sessions/*/walter").returncode != 0
    assert world.root("cat /proc/sysvipc/*").stdout.count(str(0x67707531)) == 0
    assert world.root("test -e /home/walter/bin/setuid").returncode == 0


def test_what_a_leaver_leaves_behind_has_no_power(world: UsersHost) -> None:
    """Programs in the home and the shared directory run as who starts them; a device opens for root alone."""
    shared = "/srv/shared/class-2034"
    found = world.root(f"find /home/walter {shared} -type f -perm /6000; getcap -r {shared}")
    assert found.stdout.strip() == ""
    assert world.root(f"stat -c %a {shared}/null {shared}/of-root").stdout.split()[-2:] == ["0", "755"]
    assert world.root(f"stat -c %a {shared}").stdout.split()[-1] == "2770"


def test_jobs_of_a_leaver_do_not_run(world: UsersHost) -> None:
    """Neither cron's nor at's: the account is closed. They are the user's again after a return."""
    assert world.root("ls /var/spool/cron/crontabs/walter; atq").stdout.count("walter") == 2
    time.sleep(150)
    assert world.root("pgrep -u walter").returncode == 1
    ran = "find /var/tmp /var/lib/gpulab/sessions -name '*-ran'"
    assert world.root(ran).stdout.strip() == ""


def test_lost_list_closes_no_class(world: UsersHost) -> None:
    """Five of all users leave: the run changes nothing until their number is confirmed."""
    names = [f"pupil{number}" for number in range(5)]
    staff, world.users, world.groups = world.users, [world.account(name) for name in names], {}
    world.sync()
    world.users = staff
    for options in ((), ("-e", "users_confirm_removals=4")):
        with pytest.raises(AssertionError, match=r"5 of \d+ users would lose their access: pupil0, .*removals=5"):
            world.sync(*options)
        assert "gpulab-users" in world.root("id -nG pupil0").stdout
    world.sync("-e", "users_confirm_removals=5")
    assert "gpulab-users" not in world.root("id -nG pupil0").stdout
    world.root(f"for name in {' '.join(names)}; do userdel -rf $name; done")
