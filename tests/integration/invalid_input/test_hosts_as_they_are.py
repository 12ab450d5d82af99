# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts as they are found: old lists, small file systems, noexec, what the umask closed, logins in addresses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.lab import Lab

SECRET = "s3cret-in-an-address"


def test_login_of_a_source_is_in_no_output(lab: Lab) -> None:
    """Not with -vvv and --diff either; the reason is that nothing answers, and not how the address is written."""
    addresses = [(login, port) for login in (f"svc:{SECRET}", SECRET, f"svc:{SECRET}%40%23") for port in ("", ":9")]
    settings: list[dict[str, Any]] = [
        {"gpulab_sources": {"pip": {"index_url": f"http://{login}@127.0.0.1{port}/simple"}}}
        for login, port in addresses
    ]
    # Programs read this one differently: the message names the character.
    proxy = {"https": f"http://svc:{SECRET}#1@127.0.0.1:9", "no_proxy": "localhost, .lab.example"}
    *outcomes, wrong = lab.preflight([*settings, {"gpulab_sources": {"proxy": proxy}}], "-vvv", "--diff")
    for (_, port), outcome in zip(addresses, outcomes, strict=True):
        assert outcome.code != 0
        assert f"gpulab_sources.pip.index_url): http://127.0.0.1{port}/simple cannot be used" in outcome.text
    assert wrong.code != 0
    assert "gpulab_sources.proxy.https" in wrong.text
    assert "must be written as %23" in wrong.text
    assert not [outcome for outcome in (*outcomes, wrong) if SECRET in outcome.run]


@pytest.fixture
def mounts(lab: Lab) -> Iterator[None]:
    """Mount a small file system for the cache, and one without programs."""
    lab.shell("mkdir -p /mnt/noexec && mount -t tmpfs -o size=1G tmpfs /var/cache/gpulab")
    lab.shell("mount -t tmpfs -o noexec,size=1M tmpfs /mnt/noexec")
    yield
    lab.shell("umount /var/cache/gpulab /mnt/noexec && rmdir /mnt/noexec")


def test_file_systems_are_measured_before_anything_changes(lab: Lab, mounts: None) -> None:
    """Of the cache and of the programs, each by name."""
    small = lab.play("playbooks/preflight.yml", frameworks_name="other")
    assert "the file system mounted at /var/cache/gpulab has" in small.text
    closed = lab.play("playbooks/preflight.yml", frameworks_path="/mnt/noexec/envs")
    assert "mounted at /mnt/noexec with the option noexec" in closed.text
    assert small.changed == closed.changed == 0


@pytest.fixture
def no_mounts(lab: Lab) -> Iterator[None]:
    """Let the host be one that does not allow mounts, as a container without privileges: `unshare` fails."""
    lab.shell("mount --bind /bin/false /usr/bin/unshare")
    yield
    lab.shell("umount /usr/bin/unshare")


def test_host_whose_sessions_cannot_be_isolated_is_rejected(lab: Lab, no_mounts: None) -> None:
    """Before anything is changed, with the option that does without isolation."""
    (outcome,) = lab.preflight([{}])
    assert (outcome.code, outcome.changed) == (1, 0)
    assert "the host does not let sessions have a /tmp of their own" in outcome.text
    assert "users_session_isolation_enabled" in outcome.text
