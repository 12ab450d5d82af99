# SPDX-License-Identifier: GPL-3.0-or-later
"""The effect of the state on the host: who may open which node, and which processes end because they may not."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpulab_gpud import acl, processes
from gpulab_gpud.accounts import Accounts
from gpulab_gpud.cards import Card
from gpulab_gpud.core import broker
from gpulab_gpud.core.model import Process, State

LOG = logging.getLogger(__name__)
Access = dict[Path, acl.Access]


def wanted(state: State, now: float, cards: Sequence[Card], common: Sequence[Path], accounts: Accounts) -> Access:
    """Return who may open each node of the host."""
    users = acl.Access(gids=accounts.gids())
    result: Access = dict.fromkeys(common, users)
    holders = broker.access(state)
    for card in cards:
        named = [accounts.uid(name) for name in holders.get(card.uuid, ())]
        own = acl.Access(acl.uids(uid for uid in named if uid is not None))
        result.update(dict.fromkeys(card.nodes, users if broker.is_open(state, now) else own))
    return result


def apply(access: Mapping[Path, acl.Access]) -> list[Path]:
    """Set the access to all nodes that exist, and return those that were changed."""
    changed = []
    for node, entry in access.items():
        try:
            if acl.apply(node, entry):
                changed.append(node)
        except FileNotFoundError:
            continue
        except OSError as error:
            LOG.error("the access to %s cannot be set: %s", node, error)
    return changed


def revoked(before: Mapping[Path, acl.Access], after: Mapping[Path, acl.Access]) -> bool:
    """Return whether any user or group has lost the access to a node."""
    return any(
        entry.uids - after[node].uids or entry.gids - after[node].gids
        for node, entry in before.items()
        if node in after
    )


def violators(
    found: Sequence[processes.Holder], access: Mapping[Path, acl.Access], spared: Sequence[Process]
) -> list[processes.Holder]:
    """Return those of the processes with an open node that have no access to it, but for those that are spared."""
    allowed = {}
    for node, entry in access.items():
        try:
            allowed[os.lstat(node).st_rdev] = entry.uids
        except OSError:
            continue
    return [holder for holder in processes.unentitled(found, allowed) if holder.process not in spared]
