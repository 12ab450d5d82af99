# SPDX-License-Identifier: GPL-3.0-or-later
"""A membership that is no longer requested ends at once, with the sessions and the files that still hold it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.users import UsersHost

SHARED = "/srv/shared/class-2033"
SECRET = f"{SHARED}/members-only"
SETGID = f"""
import os, shutil
for place in (os.path.expanduser("~/closed"), "/tmp", "/var/tmp"):
    os.makedirs(place, exist_ok=True)
    path = os.path.join(place, "reader")
    shutil.copy("/bin/cat", path)
    shutil.chown(path, group="class-2033")
    os.chmod(path, 0o2755)
    assert os.stat(path).st_mode & 0o2000, path
os.chmod(os.path.expanduser("~/closed"), 0)
open({SECRET!r}, "w").write("for members")
"""
READERS = "chmod 700 ~/closed 2>/dev/null; for file in ~/closed/reader /tmp/reader /var/tmp/reader"
READ = f"{READERS}; do $file {SECRET}; done"


@pytest.fixture(scope="module", autouse=True)
def groups(world: UsersHost) -> Iterator[None]:
    """Let two users into a group with a shared directory, one without and one that the host has had before."""
    world.root("groupadd --system rig; useradd --create-home byhand; gpasswd --add byhand rig")
    world.users = [world.account(name, groups=["class-2033", "tutors", "rig"]) for name in ("victor", "wendy")]
    world.groups = {"class-2033": {"shared_directory": True}, "tutors": {}}
    world.sync()
    world.root("gpasswd --add byhand class-2033")
    yield
    world.users, world.groups = [], {}
    world.sync()
    world.root(f"for name in victor wendy byhand; do userdel -rf $name; done; groupdel rig; rm -rf {SHARED}")


def members(world: UsersHost, group: str) -> set[str]:
    """Return the members of a group."""
    line = world.root(f"getent group {group}").stdout.strip().splitlines()[-1]
    return set(line.split(":")[3].split(",")) - {""}


def test_check_mode_names_the_change(world: UsersHost) -> None:
    """A member added by hand is shown in the diff, and stays until a run that changes something."""
    world.sync("--check", "--diff")
    assert "members of class-2033" in world.output
    assert "-byhand" in world.output
    assert members(world, "class-2033") == {"victor", "wendy", "byhand"}


def test_groups_of_the_role_are_owned_and_others_are_added_to(world: UsersHost) -> None:
    """The member added by hand is removed from the role's group and stays in the host's own."""
    world.sync()
    assert members(world, "class-2033") == {"victor", "wendy"}
    assert members(world, "rig") == {"byhand", "victor", "wendy"}
    assert "changed=0" in world.sync()


def test_revoked_membership_ends_sessions_and_files_that_hold_it(world: UsersHost) -> None:
    """The user logs in again and reads nothing of the group's; other members go on."""
    victor, wendy = world.shell("victor"), world.shell("wendy")
    done = victor.python(SETGID)
    assert done.returncode == 0, done.stderr
    assert victor.run(READ).stdout == "for members" * 3
    with victor.start("cat") as session, wendy.start("cat") as other:
        assert victor.run("true").returncode == 0
        world.users[0] = world.account("victor", groups=["tutors"])
        world.sync()
        assert session.wait(timeout=20) != 0
        assert other.poll() is None
        other.kill()
    assert members(world, "class-2033") == {"wendy"}
    assert members(world, "rig") == {"byhand", "wendy"}
    assert members(world, "tutors") == {"victor", "wendy"}
    assert "class-2033" not in victor.run("id -nG").stdout
    again = victor.run(READ)
    assert again.stdout == ""
    assert again.stderr.count("Permission denied") == 3
    assert "changed=0" in world.sync()


def test_session_of_a_membership_removed_by_hand_ends_too(world: UsersHost) -> None:
    """As after a run that was cut off between the two steps."""
    world.users[0] = world.account("victor", groups=["class-2033"])
    world.sync()
    with world.shell("victor").start("cat") as session:
        assert world.shell("victor").run("id -nG").stdout.split()[-1] == "class-2033"
        world.root("gpasswd --delete victor class-2033")
        world.users[0] = world.account("victor")
        world.sync()
        assert session.wait(timeout=20) != 0
    assert "changed=0" in world.sync()


def test_group_that_is_no_longer_listed_loses_its_members(world: UsersHost) -> None:
    """The group and its directory stay."""
    world.users = [world.account("victor"), world.account("wendy")]
    world.groups = {}
    world.sync()
    assert members(world, "class-2033") == members(world, "tutors") == set()
    assert members(world, "rig") == {"byhand"}
    assert world.root(f"cat {SECRET}").stdout.strip().endswith("for members")
    assert "changed=0" in world.sync()


def test_record_is_roots_and_holds_no_hash(world: UsersHost) -> None:
    """Neither its directory nor a password hash can be read by others."""
    shown = world.root("cd /var/lib/gpulab/users; stat -c '%a %U' . *.json; cat *.json").stdout
    assert "700 root\n600 root\n" in shown
    assert world.digest not in shown
    assert "$" not in shown
    assert world.shell("wendy").run("ls /var/lib/gpulab/users").returncode != 0


def password(world: UsersHost, name: str) -> str:
    """Return the password field of an account."""
    return world.root(f"getent shadow {name}").stdout.strip().splitlines()[-1].split(":")[1]


def changes_own_password(world: UsersHost, name: str, old: str, new: str) -> bool:
    """Let a user run passwd over SSH; return whether the new password was accepted."""
    return world.shell(name).run(f"printf '%s\\n' {old} {new} {new} | passwd").returncode == 0


def test_own_password_survives_until_the_inventory_has_another(world: UsersHost) -> None:
    """A sync leaves it, also when something else of the account changes; a new hash resets it; a lock stays."""
    before = password(world, "wendy")
    assert before == world.digest
    assert not changes_own_password(world, "wendy", "a-word-for-the-test", "elevenchars")
    assert changes_own_password(world, "wendy", "a-word-for-the-test", "orange-Tiger-in-7-boats")
    own = password(world, "wendy")
    world.users[1] = world.account("wendy", groups=["tutors"])
    world.sync()
    assert password(world, "wendy") == own
    assert "changed=0" in world.sync()
    world.users[1] = world.users[1] | {"password_hash": "$6$another$" + "x" * 86}
    world.sync()
    assert password(world, "wendy") == "$6$another$" + "x" * 86
    world.root("usermod --lock wendy")
    assert "changed=0" in world.sync()
    world.users[1] = world.account("wendy")
    world.sync()
    assert password(world, "wendy") == f"!{world.digest}"
    world.root("usermod --unlock wendy")
    assert "changed=0" in world.sync()


def test_who_comes_back_has_the_own_password(world: UsersHost) -> None:
    """Leaving does not bring back a password that the user has changed; a new account gets the configured one."""
    assert changes_own_password(world, "wendy", "a-word-for-the-test", "orange-Tiger-in-7-boats")
    own, listed = password(world, "wendy"), world.users
    world.users = listed[:1]
    world.sync()
    world.users = listed
    world.sync()
    assert password(world, "wendy") == own
    world.users = listed[:1]
    world.sync()
    world.root("userdel -rf wendy; useradd --create-home wendy")
    world.users = listed
    world.sync()
    assert password(world, "wendy") == world.digest
