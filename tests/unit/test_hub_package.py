"""The hub's own package: grants put together, rejections in plain words."""

from __future__ import annotations

import asyncio
import errno
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles/jupyterhub/files/gpulab_hub/src"))

from gpulab_hub import host
from gpulab_hub.grants import Account, Grant, Refusal, collect, release

ADA = Account("ada", 1001, 1001, "/home/ada")


class Granter:
    """A granter that notes what it was asked."""

    def __init__(self, grant: Grant | Exception, release: Exception | None = None) -> None:
        self.answer, self.failure, self.released = grant, release, 0

    async def grant(self, account: Account, options: Mapping[str, Any]) -> Grant:  # noqa: ARG002
        """Grant or reject."""
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def release(self, account: Account) -> None:  # noqa: ARG002
        """Note it, or fail."""
        self.released += 1
        if self.failure:
            raise self.failure


def test_everything_runs_in_the_slice_of_the_account() -> None:
    """The name that logind gives it."""
    assert ADA.slice == "user-1001.slice"


@pytest.mark.parametrize("failure", [Refusal("No GPU is free.", "no_gpu"), RuntimeError("broken")])
def test_what_was_granted_is_taken_back_when_another_rejects(failure: Exception) -> None:
    """A rejected start leaves nothing held, and the rejection reaches the user."""
    first = Granter(Grant(environment={"A": "1"}))
    with pytest.raises(type(failure), match=str(failure)):
        asyncio.run(collect({"first": first, "second": Granter(failure)}, ADA, {}))
    assert first.released == 1


def test_one_granter_that_fails_keeps_no_other_from_release() -> None:
    """Failures are named, the others are released."""
    good = Granter(Grant())
    found = asyncio.run(release({"bad": Granter(Grant(), OSError("x")), "good": good}, ADA))
    assert list(found) == ["bad"]
    assert good.released == 1


def test_host_without_memory_rejects_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more server would make the kernel kill somebody's."""
    with pytest.raises(Refusal, match="out of memory") as caught:
        host.reject_full_host(least_memory=2**60)
    assert caught.value.reason == "host_out_of_memory"
    with pytest.raises(Refusal, match="disk is full") as caught:
        host.reject_full_host(least_memory=0, least_disk=2**60)
    assert caught.value.reason == "host_disk_full"
    host.reject_full_host(0, 0)


def test_available_memory_is_read() -> None:
    """In bytes; a kernel that does not say is not in the way."""
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
def test_home_that_takes_nothing_is_told_apart(status: int, state: str) -> None:
    """Over quota and full: a server to delete files with. Missing or not writable: a rejection."""
    assert host.home_state(status) == state
    if state in host.MESSAGES:
        host.reject_home(ADA, state)
        assert "delete something" in host.MESSAGES[state]
    else:
        with pytest.raises(Refusal, match="/home/ada"):
            host.reject_home(ADA, state)


def test_resource_bar_shows_the_limits() -> None:
    """What systemd shows of the slice, as JupyterLab reads it; no limit is no figure."""
    shown = {"MemoryMax": "3221225472", "CPUQuotaPerSecUSec": "1s 500ms"}
    assert host.bar_limits(shown) == {"MEM_LIMIT": "3221225472", "CPU_LIMIT": "1.5"}
    assert host.bar_limits({"MemoryMax": "infinity", "CPUQuotaPerSecUSec": "infinity"}) == {}


def test_account_that_is_not_there_is_rejected() -> None:
    """In words, not with a KeyError."""
    with pytest.raises(Refusal, match="no account nobody-of-this-name"):
        host.account_of("nobody-of-this-name")
