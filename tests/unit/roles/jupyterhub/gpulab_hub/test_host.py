# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the host and the home before a server starts."""

from __future__ import annotations

import errno

import pytest
from gpulab_hub import host
from gpulab_hub.grants import Account, Rejection

ADA = Account("ada", 1001, 1001, "/home/ada")


def test_host_without_memory_rejects_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one more server the kernel would kill a process of a user."""
    with pytest.raises(Rejection, match="out of memory") as caught:
        host.reject_full_host(least_memory=2**60)
    assert caught.value.reason == "host_out_of_memory"
    with pytest.raises(Rejection, match="disk is full") as caught:
        host.reject_full_host(least_memory=0, least_disk=2**60)
    assert caught.value.reason == "host_disk_full"
    host.reject_full_host(0, 0)


def test_available_memory_is_read() -> None:
    """In bytes; a kernel that does not list it is no obstacle."""
    assert host.available_memory("MemTotal: 9 kB\nMemAvailable:   1024 kB\n") == 2**20
    assert host.available_memory("") > 2**60


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (errno.EDQUOT, "quota"),
        (errno.ENOSPC, "full"),
        (errno.ENOENT, "missing"),
        (errno.EACCES, "unwritable"),
        (203, "unwritable"),
    ],
)
def test_unusable_homes_are_distinguished(status: int, state: str) -> None:
    """Over quota and full: a server to delete files with. Missing or not writable: a rejection."""
    assert host.home_state(status) == state
    if state in host.MESSAGES:
        host.reject_home(ADA, state)
        assert "delete something" in host.MESSAGES[state]
    else:
        with pytest.raises(Rejection, match="/home/ada"):
            host.reject_home(ADA, state)


def test_resource_bar_shows_the_limits() -> None:
    """What systemd shows of the slice, as JupyterLab reads it; no limit is no figure."""
    shown = {"MemoryMax": "3221225472", "CPUQuotaPerSecUSec": "1s 500ms"}
    assert host.bar_limits(shown) == {"MEM_LIMIT": "3221225472", "CPU_LIMIT": "1.5"}
    assert host.bar_limits({"MemoryMax": "infinity", "CPUQuotaPerSecUSec": "infinity"}) == {}


def test_missing_account_is_rejected() -> None:
    """In words, not with a KeyError."""
    with pytest.raises(Rejection, match="no account missing-account"):
        host.account_of("missing-account")
