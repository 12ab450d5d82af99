# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of the broker: restarts, reboots, clocks, lost GPUs, removed users, processes without a grant."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gpulab_gpud import clock, processes, service
from gpulab_gpud.cards import Unreadable
from gpulab_gpud.core import broker
from gpulab_gpud.core.broker import Order
from gpulab_gpud.core.model import Grant, Policy, Process
from gpulab_gpud.store import Store, Unusable

from tests.support.gpud import Lab, run

Nodes = dict[str, frozenset[int]]


def hold(lab: Lab, user: str, **options: Any) -> int:
    """Request a GPU for a user and return the number."""
    return lab.service.change(lambda state, now: broker.request(state, now, Order(user, **options)), user).id


def grant(lab: Lab, number: int) -> Grant:
    """Return a grant."""
    entry = lab.service.state.find(number)
    assert isinstance(entry, Grant)
    return entry


def test_restart_keeps_grants_requests_and_access(lab: Lab, nodes: Nodes) -> None:
    """As after kill -9: nothing is written at the end."""

    async def work() -> None:
        async with lab.running():
            hold(lab, "ada", gpus=2, whole=True)
            hold(lab, "bob")
            before = lab.service.state
        nodes.clear()
        async with lab.running():
            after = lab.service.state
            assert (after.grants, after.requests, after.next_id) == (before.grants, before.requests, before.next_id)
            assert nodes == {"nvidia0": {1001}, "nvidia1": {1001}}

    run(work)


@pytest.mark.parametrize(
    ("boot", "uptime", "passed"),
    [("same", 700.0, 600.0), ("same", 50.0, 0.0), ("other", 50.0, 0.0), ("other", 9e9, 0.0)],
)
def test_clock_counts_the_time_of_the_host_only(
    monkeypatch: pytest.MonkeyPatch, boot: str, uptime: float, passed: float
) -> None:
    """A restart of the broker counts, that of the host does not, and no wall clock is read."""
    monkeypatch.setattr(clock, "boot_id", lambda: "same")
    monkeypatch.setattr(clock, "uptime", lambda: uptime)
    assert clock.Clock(1000.0, 100.0, boot).now() == 1000.0 + passed


def test_grant_has_its_whole_time_after_a_reboot_with_a_wrong_clock(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither longer nor shorter."""

    async def work() -> None:
        async with lab.running():
            number = hold(lab, "ada")
            left = grant(lab, number).until - lab.service.clock.now()
        monkeypatch.setattr(clock, "boot_id", lambda: "another boot")
        monkeypatch.setattr("time.time", lambda: 0.0)
        async with lab.running():
            assert grant(lab, number).until - lab.service.clock.now() == pytest.approx(left, abs=5)

    run(work)


def test_other_policy_at_the_start_keeps_what_fits(lab: Lab) -> None:
    """An upgrade or a converge restarts the broker."""

    async def work() -> None:
        async with lab.running():
            first, second = hold(lab, "ada"), hold(lab, "bob")
            third = hold(lab, "eve")
        lab.policy = Policy("exclusive", hold=60)
        async with lab.running():
            assert [entry.id for entry in lab.service.state.grants] == [first, second]
            assert "slots was changed" in lab.service.last(third)

    run(work)


def test_lost_gpu_leaves_the_service_and_comes_back(lab: Lab, nodes: Nodes) -> None:
    """Its user loses it; the other user goes on."""

    async def work() -> None:
        async with lab.running():
            hold(lab, "ada")
            hold(lab, "bob")
            lab.cards.problems["GPU-0"] = "does not answer"
            await lab.service.read_cards()
            assert [entry.user for entry in lab.service.state.grants] == ["bob"]
            assert nodes["nvidia0"] == set()
            lab.cards.problems.clear()
            lab.cards.count = 1
            await lab.service.read_cards()
            problems = {gpu.uuid: gpu.problem for gpu in lab.service.state.gpus}
            assert problems == {"GPU-0": "", "GPU-1": "it is gone: restart the host"}
            assert lab.service.state.entries() == []

    run(work)


def test_driver_that_does_not_answer_changes_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is loaded again, or hangs."""

    async def work() -> None:
        async with lab.running():
            hold(lab, "ada")
            before = lab.service.state

            def unreadable() -> None:
                raise Unreadable("driver/library version mismatch")

            monkeypatch.setattr(lab.cards, "read", unreadable)
            await lab.service.read_cards()
            assert lab.service.state == before

    run(work)


def test_removed_user_loses_all_in_the_next_round(lab: Lab, nodes: Nodes) -> None:
    """Grants, requests and access."""

    async def work() -> None:
        async with lab.running():
            hold(lab, "ada", gpus=2, whole=True)
            hold(lab, "ada", shared=False)
            hold(lab, "bob")
            lab.accounts.members["ada"] = set()
            lab.service.pass_time()
            assert [entry.user for entry in lab.service.state.entries()] == ["bob"]
            assert nodes == {"nvidia0": {1002}, "nvidia1": set()}

    run(work)


def test_end_of_a_watched_process_releases(lab: Lab) -> None:
    """A later process with the same number is another one."""

    async def work() -> None:
        async with lab.running():
            own = processes.identify(os.getpid())
            assert own
            hold(lab, "ada", shared=False, process=own)
            gone = hold(lab, "bob", shared=False, process=replace(own, started=own.started - 1))
            lab.service.pass_time()
            assert [entry.user for entry in lab.service.state.entries()] == ["ada"]
            assert "released" in lab.service.last(gone)

    run(work)


def test_change_that_cannot_be_stored_does_not_happen(lab: Lab, nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: neither in memory nor on the host."""

    async def work() -> None:
        async with lab.running():
            before, access = lab.service.state, dict(nodes)

            def full(*arguments: object) -> None:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(lab.service._store, "save", full)
            status, answer = await lab.call("POST", "/v1/requests", {}, "ada")
            assert status == 500
            assert "journal of gpulab-gpud" in answer["error"]
            assert lab.service.state == before
            assert nodes == access

    run(work)


def test_damaged_database_is_named(tmp_path: Path) -> None:
    """With what to do; so is one of a later release."""
    path = tmp_path / "gpu.sqlite"
    path.write_bytes(b"no database" * 200)
    with pytest.raises(Unusable, match="Move it away"):
        Store(path)
    path.unlink()
    store = Store(path)
    store._database.execute("PRAGMA user_version=9")
    store.close()
    with pytest.raises(Unusable, match="later release"):
        Store(path)


def test_numbers_are_not_used_again_after_the_removal(lab: Lab) -> None:
    """A user of an earlier installation could otherwise end another user's grant of the same number."""

    async def work() -> None:
        async with lab.running():
            hold(lab, "ada")
        store = Store(lab.directory / "gpu.sqlite")
        store.clear()
        store.close()
        async with lab.running():
            assert lab.service.state.grants == ()
            assert hold(lab, "bob") == 2
            assert (await lab.call("DELETE", "/v1/requests/2", None, "ada"))[0] == 404

    run(work)


HOLDER = "import os, sys, time; os.setgid(65534); os.setuid(1001); print('ready', flush=True); time.sleep(600)"


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Yield a process of a user that has a file open, and the file."""
    if os.getuid() != 0:
        pytest.skip("only root can run a process of another user")
    path = tmp_path / "nvidia9"
    with path.open("w") as file:
        argv = [sys.executable, "-I", "-c", HOLDER]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, pass_fds=[file.fileno()]) as process:
            assert process.stdout
            process.stdout.readline()
            try:
                yield process, path
            finally:
                process.kill()


def test_process_that_has_a_node_open_is_found_and_ended(holder: tuple[subprocess.Popen[str], Path]) -> None:
    """By the inode, whatever the file is called now; only if its user has no grant."""
    process, path = holder
    path.rename(path.with_name("renamed"))
    found = processes.holders([path.with_name("renamed")])
    assert [(item.process.pid, item.uid) for item in found] == [(process.pid, 1001)]
    device = next(iter(found[0].devices))
    assert processes.unentitled(found, {device: frozenset({1001})}) == []
    assert processes.unentitled(found, {device: frozenset({1002})}) == found
    assert asyncio.run(processes.end(found[0].process, grace=10))
    assert process.wait(timeout=10) == -15


def test_another_process_of_the_same_number_is_not_ended(holder: tuple[subprocess.Popen[str], Path]) -> None:
    """The start time tells them apart."""
    process, _ = holder
    found = processes.identify(process.pid)
    assert found
    assert asyncio.run(processes.end(Process(process.pid, found.started - 1), grace=0.1))
    assert process.poll() is None


def test_processes_before_the_first_start_go_on(
    lab: Lab, holder: tuple[subprocess.Popen[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a restart; a process that comes later is ended."""
    process, path = holder
    path.rename(lab.directory / "nvidia0")
    monkeypatch.setattr(service, "GRACE_SECONDS", 5.0)

    async def work() -> None:
        for _ in range(2):
            async with lab.running():
                await lab.service.enforce()
                assert process.poll() is None
        async with lab.running():
            lab.service._spared = []
            await lab.service.enforce()
            await asyncio.to_thread(process.wait, 10)

    run(work)


def test_open_gpus_and_new_grants_end_no_process(lab: Lab, holder: tuple[subprocess.Popen[str], Path]) -> None:
    """Neither in an emergency, nor if the user gets the GPU while processes are read."""
    process, path = holder
    # Files have no device numbers that tell them apart.
    lab.cards.count = 1

    async def work() -> None:
        async with lab.running():
            path.rename(lab.directory / "nvidia0")
            lab.service.open_all(60, "root")
            await lab.service.enforce()
            lab.service.open_all(0, "root")
            reading = asyncio.create_task(lab.service.enforce())
            hold(lab, "ada")
            await reading
            await lab.service.enforce()
            assert process.poll() is None

    run(work)


def test_turn_is_taken_by_using_the_gpu(lab: Lab, holder: tuple[subprocess.Popen[str], Path]) -> None:
    """Of the user who has the turn; what other users have open does not count."""
    _, path = holder
    lab.cards.count = 1

    async def work() -> None:
        async with lab.running():
            hold(lab, "bob", whole=True)
            number = hold(lab, "ada")
            lab.service.change(lambda state, now: broker.release(state, now, 1), "bob")
            await lab.service.confirm_users()
            assert not grant(lab, number).confirmed
            path.rename(lab.directory / "nvidia0")
            await lab.service.confirm_users()
            assert grant(lab, number).confirmed

    run(work)
