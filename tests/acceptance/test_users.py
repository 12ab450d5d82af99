# SPDX-License-Identifier: GPL-3.0-or-later
"""Every requested user has an account, and no other user can log in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.expected import Expected
from tests.support.hub import HubUser, LoginRejected
from tests.support.shell import KEYS

STRANGER = "verify-stranger"
STRANGERS_WORD = "a-password-that-is-right"


@pytest.fixture
def stranger(host: Any, expected: Expected) -> Iterator[str]:
    """Make an account with a password that is not requested; on disposable hosts only."""
    if not expected.disposable:
        pytest.skip("this is a live host: no account is made on it to see it rejected")
    host.check_output("useradd --create-home %s && echo %s:%s | chpasswd", STRANGER, STRANGER, STRANGERS_WORD)
    yield STRANGER
    host.check_output("userdel --remove %s 2>/dev/null", STRANGER)


def test_every_requested_user_has_an_account(host: Any, expected: Expected) -> None:
    """Each name is an account with a login shell, in the group that may use the hub."""
    for name in expected.present:
        user = host.user(name)
        assert user.exists, f"{name} has no account"
        assert not user.shell.endswith(("/nologin", "/false")), f"{name}: no session starts with {user.shell}"
        assert expected.users_group in user.groups


def test_homes_are_private(host: Any, expected: Expected) -> None:
    """Only its owner can read a home."""
    for name in expected.present:
        home = host.file(host.user(name).home)
        assert (home.user, home.mode) == (name, 0o700)


def test_sshd_reads_the_keys_of_every_user(host: Any) -> None:
    """The effective setting for each user, Match blocks included; sshd rejects files that others can write."""
    if not host.file("/usr/sbin/sshd").exists:
        pytest.skip("no sshd on this host")
    names = host.file(KEYS).listdir() if host.file(KEYS).exists else []
    if not names:
        pytest.skip("no user of this host has a public key in the inventory")
    for name in names:
        settings = host.check_output("/usr/sbin/sshd -T -C user=%s,host=localhost,addr=127.0.0.1", name).splitlines()
        files = next(line for line in settings if line.startswith("authorizedkeysfile ")).split()[1:]
        assert f"{KEYS}/%u" in files, f"{name}: sshd reads {files}"
        keys = host.file(f"{KEYS}/{name}")
        assert (keys.user, keys.mode & 0o022) == ("root", 0)


def test_only_requested_users_are_in_the_group(host: Any, expected: Expected) -> None:
    """The group that opens the hub, and the one that administrates it, have exactly the requested members."""
    for group, requested in ((expected.users_group, expected.present), (expected.admin_group, expected.admins)):
        assert sorted(host.group(group).members) == sorted(requested)


def test_wrong_password_is_rejected(hub_url: str, certificate: str | bool, login: tuple[str, str]) -> None:
    """A requested user with a wrong password stays out."""
    with pytest.raises(LoginRejected):
        HubUser(hub_url, login[0], login[1] + "x", certificate)


def test_stranger_with_the_right_password_is_rejected(hub_url: str, certificate: str | bool, stranger: str) -> None:
    """An account that was not requested cannot log in, although its password is right."""
    with pytest.raises(LoginRejected):
        HubUser(hub_url, stranger, STRANGERS_WORD, certificate)
