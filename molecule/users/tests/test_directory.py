# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of a directory: OpenLDAP through SSSD, which lists no accounts. They join, work, and leave."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from tests.support.hub import LoginRejected
from tests.support.users import PASSWORD, UsersHost

PACKAGES = "slapd ldap-utils sssd-ldap libnss-sss libpam-sss"
ADMIN = "cn=admin,dc=lab,dc=example"
SLAPD = """
slapd slapd/domain string lab.example
slapd shared/organization string lab
slapd slapd/password1 password of-the-test
slapd slapd/password2 password of-the-test
"""
SSSD = """
[sssd]
services = nss, pam
domains = lab
[domain/lab]
id_provider = ldap
auth_provider = ldap
ldap_uri = ldap://127.0.0.1
ldap_search_base = dc=lab,dc=example
# The server is on this host; SSSD sends passwords over TLS only.
ldap_auth_disable_tls_never_use_in_production = true
ldap_id_use_start_tls = false
enumerate = false
cache_credentials = false
entry_cache_timeout = 1
entry_negative_timeout = 1
"""
ENTRY = """
dn: uid={name},dc=lab,dc=example
objectClass: account
objectClass: posixAccount
cn: {name}
uid: {name}
uidNumber: {uid}
gidNumber: {uid}
homeDirectory: /home/{name}
loginShell: /bin/bash
userPassword: {password}

dn: cn={name},dc=lab,dc=example
objectClass: posixGroup
cn: {name}
gidNumber: {uid}
"""
UIDS = {"noether": 70001, "hopper": 70002}


def written(path: str, text: str, mode: str) -> str:
    """Return the command that writes a file."""
    return f"install -m {mode} /dev/null {path} && printf %s {shlex.quote(text)} > {path}"


@pytest.fixture(scope="module")
def directory(world: UsersHost) -> Iterator[UsersHost]:
    """Install a directory with two accounts, and remove it again."""
    entries = "".join(ENTRY.format(name=name, uid=uid, password=PASSWORD) for name, uid in UIDS.items())
    script = f"""
        set -e
        export DEBIAN_FRONTEND=noninteractive
        printf %s {shlex.quote(SLAPD)} | debconf-set-selections
        apt-get install --yes --no-install-recommends {PACKAGES} >/dev/null
        {written("/etc/sssd/sssd.conf", SSSD, "600")}
        printf %s {shlex.quote(entries)} | ldapadd -x -D {ADMIN} -w of-the-test -H ldap://127.0.0.1 >/dev/null
        systemctl restart sssd
        getent passwd noether
    """
    done = world.root(script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "noether" not in world.root("getent passwd").stdout
    world.users, world.groups = [], {}
    yield world
    world.users = []
    world.sync()
    done = world.root(
        f"DEBIAN_FRONTEND=noninteractive apt-get purge --yes --autoremove {PACKAGES} sssd-common >/dev/null; "
        "rm -rf /home/noether /home/hopper /var/lib/ldap; id noether"
    )
    assert "no such user" in done.stdout + done.stderr


def member(world: UsersHost, name: str) -> dict[str, object]:
    """Return a user of the inventory whose password is the directory's."""
    account = world.account(name, groups=["class-2041"])
    del account["password_hash"]
    return account


def test_users_of_a_directory_join(directory: UsersHost) -> None:
    """They get a home, groups, a slice with limits and keys, and log in at the hub with the directory's password."""
    directory.groups = {"class-2041": {"limits": {"tasks": 700}, "shared_directory": True}}
    directory.users = [member(directory, "noether"), member(directory, "hopper")]
    directory.sync()
    assert "changed=0" in directory.sync()
    session = directory.shell("noether").run("id -nG; stat -c '%a %U' ~; touch /srv/shared/class-2041/noether")
    assert session.returncode == 0, session.stderr
    assert {"gpulab-users", "class-2041"} <= set(session.stdout.splitlines()[0].split())
    assert session.stdout.splitlines()[1] == "700 noether"
    assert "TasksMax=700" in directory.root("cat /etc/systemd/system/user-70001.slice.d/*.conf").stdout
    hub_user = directory.hub_user("noether")
    hub_user.start_server()
    hub_user.stop_server()


def test_settings_of_the_directory_are_rejected(directory: UsersHost) -> None:
    """Before anything is changed: a password hash could not be set."""
    users = directory.users
    directory.users = [{**users[0], "password_hash": directory.digest}, users[1]]
    with pytest.raises(
        AssertionError, match=r"noether is an account of a directory .sss., which decides on its password"
    ):
        directory.sync()
    directory.users = users


def test_directory_that_does_not_answer_stops_the_run(directory: UsersHost) -> None:
    """No local account is created in the place of one that cannot be found, and nobody is removed from the hub."""
    directory.root("systemctl stop sssd slapd && sss_cache -E; rm -f /var/lib/sss/mc/* /var/lib/sss/db/*")
    try:
        with pytest.raises(AssertionError, match="check its service: `getent passwd noether`"):
            directory.sync()
        assert "noether" not in directory.root("cat /etc/passwd").stdout
    finally:
        directory.root("systemctl start slapd sssd; sleep 2; getent passwd noether hopper")
    assert "changed=0" in directory.sync()


def test_user_of_a_directory_leaves(directory: UsersHost) -> None:
    """Memberships, keys, sessions and the hub's login end; the directory's own account stays as it is."""
    directory.users = [user for user in directory.users if user["name"] != "noether"]
    directory.sync()
    assert "noether belongs to a directory, which decides on logins" in directory.output
    assert "changed=0" in directory.sync()
    assert "gpulab-users" not in directory.root("id -nG noether").stdout.split()
    with pytest.raises(LoginRejected):
        directory.hub_user("noether")
    assert directory.shell("noether").run("true").returncode != 0
    assert directory.shell("hopper").run("true").returncode == 0
