# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts as they are: accounts, groups and settings that administrators and users have made by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.users import UsersHost


@pytest.fixture(scope="module", autouse=True)
def two_users(world: UsersHost) -> Iterator[None]:
    """Let two users come."""
    world.users, world.groups = [world.account("emmy"), world.account("marie")], {}
    world.sync()
    yield
    world.root("for name in emmy marie lise; do userdel -rf $name; done; rm -rf /home/lise")


def fields_of(world: UsersHost, name: str) -> list[str]:
    """Return the fields of an account's line in shadow(5)."""
    return world.root(f"getent shadow {name}").stdout.strip().split(":")


def test_what_was_set_by_hand_stays_and_is_reported(world: UsersHost) -> None:
    """A shell, a lock and a last day; a last day in the inventory wins when it changes."""
    world.root("chsh -s /bin/dash emmy; usermod --lock emmy; usermod --expiredate 2031-01-31 marie")
    before = fields_of(world, "emmy"), fields_of(world, "marie")
    recap = world.sync()
    assert "changed=0" in recap
    assert (fields_of(world, "emmy"), fields_of(world, "marie")) == before
    assert world.root("getent passwd emmy").stdout.strip().endswith(":/bin/dash")
    output = " ".join(world.output.split())
    assert "emmy: the password is locked on the host and stays locked" in output
    assert "marie: the account expires on 2031-01-31, which was set on the host and is kept" in output
    world.users[1] = {**world.users[1], "expires": "2032-12-31"}
    world.sync()
    assert fields_of(world, "marie")[7] != before[1][7]
    del world.users[1]["expires"]
    world.root("usermod --unlock emmy")
    world.sync()
    assert fields_of(world, "marie")[7] == ""


def test_system_account_in_the_group_is_not_closed(world: UsersHost) -> None:
    """It is removed from the group alone."""
    world.root("gpasswd --add www-data gpulab-users; gpasswd --add nobody gpulab-users")
    before = fields_of(world, "www-data"), fields_of(world, "nobody")
    world.sync()
    assert (fields_of(world, "www-data"), fields_of(world, "nobody")) == before
    assert "www-data is a system account: it is removed from gpulab-users, and not closed" in " ".join(
        world.output.split()
    )
    assert "gpulab-users" not in world.root("id -nG www-data; id -nG nobody").stdout.split()


def test_member_without_an_account_is_removed_from_the_group(world: UsersHost) -> None:
    """The account was deleted in the files, and its name stayed in the group."""
    world.users.append(world.account("lise"))
    world.sync()
    world.root("sed -i '/^lise:/d' /etc/passwd /etc/shadow")
    world.users.pop()
    world.sync()
    assert "changed=0" in world.sync()
    assert "lise" not in world.root("getent group gpulab-users").stdout


def test_kept_home_goes_to_the_account_with_its_number(world: UsersHost) -> None:
    """As after the system was installed again; another number is rejected before anything is changed."""
    world.root("rm -rf /home/lise; install -d -o 20001 -g 20001 -m 700 /home/lise; echo work > /home/lise/work")
    world.users.append(world.account("lise", uid=20002))
    with pytest.raises(AssertionError, match=r"/home/lise .uid 20001. exists and user lise does not. Set uid 20001"):
        world.sync()
    world.users[-1]["uid"] = 20001
    world.sync()
    assert world.shell("lise").run("cat ~/work; stat -c %U ~").stdout.split() == ["work", "lise"]
    world.users.pop()
    world.sync()


def test_group_of_others_is_not_taken_over(world: UsersHost) -> None:
    """Its members would lose their accounts."""
    world.root("groupadd physics; useradd --create-home --groups physics bohr")
    before = fields_of(world, "bohr")
    try:
        with pytest.raises(AssertionError, match="group physics exists, and bohr in it is not listed"):
            world.sync(gpulab_users_group="physics")
        assert fields_of(world, "bohr") == before
    finally:
        world.root("userdel -rf bohr; groupdel physics")


def test_sshd_without_an_include_is_reported(world: UsersHost) -> None:
    """Keys that open nothing are no success; the next run after the fix goes on."""
    world.root("sed -i '/^Include/s/^/#/' /etc/ssh/sshd_config")
    try:
        with pytest.raises(AssertionError, match=r"sshd does not read the public keys in /etc/ssh/authorized_keys\.d"):
            world.sync()
    finally:
        world.root("sed -i 's/^#Include/Include/' /etc/ssh/sshd_config; systemctl reload ssh")
    assert "changed=0" in world.sync()
    assert world.shell("emmy").run("true").returncode == 0


def test_account_of_the_connection_is_not_closed(world: UsersHost) -> None:
    """An administrator who is no longer listed cannot close the account of the run, and keeps the access."""
    world.users.append(world.account("lise"))
    world.sync()
    world.root("apt-get install --yes --no-install-recommends sudo >/dev/null")
    world.root("echo 'lise ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/lise")
    world.users.pop()
    connection = f"ansible_user=lise ansible_become=true ansible_ssh_private_key_file={world.key}"
    try:
        with pytest.raises(
            AssertionError, match=r"lise is no longer listed in users_accounts .gpulab_users., and this"
        ):
            world.sync("--extra-vars", connection)
        assert world.shell("lise").run("true").returncode == 0
    finally:
        world.root("rm -f /etc/sudoers.d/lise")
    world.sync()
    assert world.shell("lise").run("true").returncode != 0
