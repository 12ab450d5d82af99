# SPDX-License-Identifier: GPL-3.0-or-later
"""The broker: the state in memory, committed to the database and applied to the host at each change."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from gpulab_gpud import access, processes, views
from gpulab_gpud.accounts import Accounts
from gpulab_gpud.cards import Card, Cards, Unreadable, opens_nodes
from gpulab_gpud.config import Config
from gpulab_gpud.core import broker
from gpulab_gpud.core.broker import Step
from gpulab_gpud.core.model import Gpu, Process, Rejected, Request, State
from gpulab_gpud.store import Store

LOG = logging.getLogger(__name__)
TICK_SECONDS = 2.0
"""Interval at which time passes: ends of grants, of watched processes, and of users' membership."""
CARDS_SECONDS = 60.0
"""Interval at which the GPUs and all nodes are read."""
RETRY_SECONDS = 10.0
"""The same as long as no GPU was read, as while a driver is loaded."""
REMEDY = "Restart the host after site.yml has run; if it stays so, run update-initramfs -u -k all before."
"""What to do about a driver that opens its nodes to all users."""
NVML_SECONDS = 30.0
"""Time limit of a read of the GPUs: a broken GPU may hang."""
ENFORCE_SECONDS = 0.2
"""Shortest time between two reads of all processes."""
GRACE_SECONDS = 10.0
"""Time between SIGTERM and SIGKILL for a process whose grant ended."""
LONGEST_OPEN = 7 * 86400.0
"""Longest time for which all users may open all GPUs, in seconds."""


class Service:
    """The broker of one host. All changes happen in one thread, one after the other."""

    def __init__(self, config: Config, store: Store, cards: Cards, accounts: Accounts) -> None:
        self.config, self._store, self._source, self.accounts = config, store, cards, accounts
        self.state, self.clock, self._existed = store.load()
        self.cards: Sequence[Card] = ()
        self._common: Sequence[Path] = ()
        # None until the processes are known that no start of the broker ends.
        self._spared: list[Process] | None = None
        self._ending: set[Process] = set()
        self._applied: access.Access = {}
        self._enforcement: asyncio.Task[None] | None = None
        self._enforcement_due = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self.names = views.Names()

    # -- changes

    def change(self, function: Callable[[State, float], Step], actor: str) -> Step:
        """Apply a function of the core: commit its result, then its effects on the host. Raises Rejected."""
        now = self.clock.now()
        step = function(self.state, now)
        if step.events or step.state.with_(now=self.state.now) != self.state:
            self._store.save(step.state, step.events, self.clock, actor)
            self.state = step.state
            for event in step.events:
                LOG.info("%s %s %s by %s: %s", event.kind, event.user or "-", event.request or "-", actor, event.text)
            self.apply()
            self._changed.set()
            self._changed = asyncio.Event()
        return step

    async def changed(self, seconds: float) -> None:
        """Wait for the next change, at most some seconds."""
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    # -- effects

    def wanted(self) -> access.Access:
        """Return who may open each node now."""
        return access.wanted(self.state, self.clock.now(), self.cards, self._common, self.accounts)

    def apply(self) -> None:
        """Set the access to the nodes, and end processes that lost theirs."""
        before, self._applied = self._applied, self.wanted()
        changed = access.apply(self._applied)
        # Also after a repair: a process may have used the access that was set by hand.
        if access.revoked(before, self._applied) or (changed and before == self._applied):
            self._enforce_soon()

    def _enforce_soon(self) -> None:
        """End processes without a grant in a task: many changes in a short time share one read of all processes."""
        self._enforcement_due = True
        if self._enforcement is None or self._enforcement.done():
            self._enforcement = asyncio.get_running_loop().create_task(self._enforce_while_due())

    async def _enforce_while_due(self) -> None:
        while self._enforcement_due:
            self._enforcement_due = False
            await self.enforce()
            await asyncio.sleep(ENFORCE_SECONDS)

    async def enforce(self) -> None:
        """End the processes that have a GPU open without a grant; SIGKILL follows SIGTERM after the grace time."""
        if self._spared is None:
            return
        found = await asyncio.to_thread(processes.holders, [node for card in self.cards for node in card.nodes])
        # With the access of now: a user may have got the GPU during the read.
        if broker.is_open(self.state, self.clock.now()):
            return
        violators = access.violators(found, self.wanted(), self._spared)
        new = [holder for holder in violators if holder.process not in self._ending]
        self._ending |= {holder.process for holder in new}
        for holder in new:
            LOG.warning("process %s of uid %s has a GPU open without a grant: ended", holder.process.pid, holder.uid)
            task = asyncio.get_running_loop().create_task(self._end(holder.process))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _end(self, process: Process) -> None:
        try:
            if not await processes.end(process, GRACE_SECONDS):
                LOG.error("process %s does not end, not even by SIGKILL; it still has a GPU open", process.pid)
        finally:
            self._ending.discard(process)

    # -- the life of the service

    async def start(self) -> None:
        """Reconcile the host with the stored state: policy, GPUs, access, processes."""
        self._store.prune()
        await self.read_cards()
        self.change(lambda state, now: broker.configure(state, now, self.config.policy), "start")
        self._spared = await self._processes_before_the_first_start()
        self.pass_time()
        self.apply()
        await self.enforce()

    async def _processes_before_the_first_start(self) -> list[Process]:
        """Return the processes that used a GPU before sharing was switched on: they go on until they end."""
        if self._existed:
            return [process for process in self._store.spared() if processes.runs(process)]
        nodes = [node for card in self.cards for node in card.nodes]
        found = await asyncio.to_thread(processes.holders, nodes)
        spared = [holder.process for holder in found]
        self._store.spare(spared)
        return spared

    async def read_cards(self) -> None:
        """Read the GPUs of the host; those that are gone are out of service, and unreadable ones stay as they are."""
        try:
            cards = await asyncio.wait_for(asyncio.to_thread(self._source.read), NVML_SECONDS)
            self._common = self._source.common()
        except (Unreadable, TimeoutError, asyncio.TimeoutError) as error:  # Python 3.10
            LOG.warning("the GPUs keep their state: %s", error or "the read took too long")
            return
        if opens_nodes():
            LOG.warning(
                "NVIDIA's driver opens the GPUs to all users: it was loaded without NVreg_DeviceFileMode=0660. %s",
                REMEDY,
            )
        known = {card.uuid for card in cards}
        gone = [gpu.uuid for gpu in self.state.gpus if gpu.uuid not in known and self.cards]
        # Those that were gone at the start of the broker are not GPUs of this host any more.
        self.cards = [*cards, *(card for card in self.cards if card.uuid in gone)]
        self.names = views.Names(self.cards)
        gpus = [
            Gpu(card.uuid, "it is gone: restart the host" if card.uuid in gone else card.problem) for card in self.cards
        ]
        self.change(lambda state, now: broker.set_gpus(state, now, gpus), "gpud")
        self.apply()

    def pass_time(self) -> None:
        """End what is over: times, watched processes, removed users."""
        removed = self.accounts.removed(entry.user for entry in self.state.entries())
        if removed:
            text = f"not a member of {self.config.users_group} any more"
            self.change(lambda state, now: broker.remove_users(state, now, removed, text), "gpud")
        for entry in self.state.entries():
            request = entry if isinstance(entry, Request) else entry.request
            if request.process and not processes.runs(request.process):
                number = request.id
                self.change(partial(broker.release, number=number), "process ended")
        self.change(broker.tick, "gpud")

    async def confirm_users(self) -> None:
        """Count turns as taken whose user has a GPU of them open."""
        waiting = [grant for grant in self.state.grants if not grant.confirmed]
        if not waiting:
            return
        nodes = {card.uuid: card.nodes for card in self.cards}
        for grant in waiting:
            own = [node for uuid in grant.gpus for node in nodes.get(uuid, ())]
            uid = self.accounts.uid(grant.user)
            # Only the user's own processes are read.
            found = [] if uid is None else await asyncio.to_thread(processes.holders, own, {uid})
            if found:
                self.change(partial(broker.confirm, number=grant.id), "gpud")

    async def run(self) -> None:
        """Let time pass until the task is cancelled."""
        was_open = False
        next_cards = self.clock.now() + CARDS_SECONDS
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                self.pass_time()
                await self.confirm_users()
                is_open = broker.is_open(self.state, self.clock.now())
                if is_open != was_open or self.clock.now() >= next_cards:
                    was_open, next_cards = is_open, self.clock.now() + RETRY_SECONDS
                    await self.read_cards()
                    if self.cards:
                        next_cards = self.clock.now() + CARDS_SECONDS
                    self._store.save(self.state.with_(now=self.clock.now()), (), self.clock, "gpud")
                    self.apply()
                    await self.enforce()
            except Exception:
                # Whatever is wrong, grants stay as they are, and the next round tries again.
                LOG.exception("a round of the broker failed")

    def open_all(self, seconds: float, actor: str) -> Step:
        """Let all users open all GPUs for some seconds."""
        if not 0 <= seconds <= LONGEST_OPEN:
            raise Rejected(f"the time must be between 0 and {LONGEST_OPEN:.0f} seconds, not {seconds:g}.", 400)
        return self.change(lambda state, now: broker.open_all(state, now, seconds, f"for {seconds:.0f} s"), actor)

    def over(self, number: int, user: str) -> bool:
        """Return whether a request that is over was one of a user."""
        return any(entry.user == user for entry in self._store.audit(number))

    def last(self, number: int) -> str:
        """Return why a request is over, empty for one that never was."""
        entries = self._store.audit(number)
        return f"{entries[-1].kind}: {entries[-1].text}".rstrip(": ") if entries else ""
