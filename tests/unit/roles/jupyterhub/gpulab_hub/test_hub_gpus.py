# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs of servers, from a broker that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gpulab_hub.gpus import GPUs, count
from gpulab_hub.grants import Account, Grant, Rejection

from tests.support.gpud import Lab, run

ADA = Account("ada", 1001, 1001, "/home/ada")
BOB = Account("bob", 1002, 1002, "/home/bob")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Return a broker to which the hub connects."""
    monkeypatch.setattr("gpulab_gpud.access.acl.apply", lambda node, access: False)  # noqa: ARG005
    lab = Lab(tmp_path)
    lab.accounts.connects = "hub"
    return lab


def test_server_requests_releases_and_never_waits(lab: Lab) -> None:
    """It starts while the request waits; its end releases what it holds or waits for, and nothing else."""

    async def work() -> None:
        async with lab.running():
            gpus = GPUs(lab.socket)
            assert await gpus.grant(ADA, {}) == Grant()
            assert lab.service.state.entries() == []
            await gpus.grant(ADA, {"gpus": ["2"]})
            await lab.call("POST", "/v1/requests", {"gpus": 2, "whole": True}, "bob")
            lab.accounts.connects = "hub"
            assert await gpus.grant(BOB, {"gpus": 1}) == Grant()
            assert [entry.user for entry in lab.service.state.grants] == ["ada"], "bob waits, and his server starts"
            for _ in range(2):
                await gpus.release(ADA)
                await gpus.release(BOB)
            assert [entry.user for entry in lab.service.state.entries()] == ["bob"]

    run(work)


def test_impossible_number_is_a_sentence_for_the_user(lab: Lab) -> None:
    """From the broker, or before it."""

    async def work() -> None:
        async with lab.running():
            with pytest.raises(Rejection, match="this host has 2 GPUs"):
                await GPUs(lab.socket).grant(ADA, {"gpus": 3})
            with pytest.raises(Rejection, match="must be 0 to 64"):
                await GPUs(lab.socket).grant(ADA, {"gpus": ["many"]})

    run(work)


def test_host_without_a_broker_starts_servers(tmp_path: Path) -> None:
    """On the CPU; there is nothing to release."""

    async def work() -> None:
        gpus = GPUs(tmp_path / "gpu.sock")
        assert await gpus.grant(ADA, {"gpus": 1}) == Grant()
        await gpus.release(ADA)

    run(work)


@pytest.mark.parametrize(("value", "number"), [(0, 0), ("2", 2), (["3"], 3), ([], 0)])
def test_number_may_come_from_a_link(value: Any, number: int) -> None:
    """As a text in a list."""
    assert count(value) == number
