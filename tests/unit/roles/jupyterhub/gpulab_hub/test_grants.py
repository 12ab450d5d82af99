# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants of resources to servers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from gpulab_hub import grants
from gpulab_hub.grants import Account, Grant, Rejection, collect, release


def test_options_are_those_that_granters_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A granter without the attribute reads none."""

    class GPUs:
        options = frozenset({"gpus"})

    installed: dict[str, Any] = {"a": GPUs(), "b": object()}
    monkeypatch.setattr(grants, "granters", lambda: installed)
    assert grants.known_options() == {"gpus"}
    installed.clear()
    assert grants.known_options() == frozenset()


ADA = Account("ada", 1001, 1001, "/home/ada")


class Granter:
    """A granter that counts its releases."""

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


@pytest.mark.parametrize("failure", [Rejection("No GPU is free.", "no_gpu"), RuntimeError("broken")])
def test_grants_are_released_when_another_granter_rejects(failure: Exception) -> None:
    """A rejected start leaves nothing held, and the rejection reaches the user."""
    first = Granter(Grant(environment={"A": "1"}))
    with pytest.raises(type(failure), match=str(failure)):
        asyncio.run(collect({"first": first, "second": Granter(failure)}, ADA, {}))
    assert first.released == 1


def test_one_granter_that_fails_keeps_no_other_from_release() -> None:
    """Failures are named, the others are released."""
    good = Granter(Grant())
    failures = asyncio.run(release({"bad": Granter(Grant(), OSError("x")), "good": good}, ADA))
    assert list(failures) == ["bad"]
    assert good.released == 1
