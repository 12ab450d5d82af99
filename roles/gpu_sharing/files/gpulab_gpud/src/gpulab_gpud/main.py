# SPDX-License-Identifier: GPL-3.0-or-later
"""The program gpulab-gpud: the broker itself, and what root does without it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from gpulab_gpud import access, acl, cards, config, server
from gpulab_gpud.accounts import Accounts
from gpulab_gpud.config import Config
from gpulab_gpud.core import broker
from gpulab_gpud.service import LONGEST_OPEN, Service
from gpulab_gpud.store import PATH, Store, Unusable

STOP_SECONDS = 10.0
BEFORE = Path("/var/lib/gpulab/gpu/nodes.json")
"""Modes and groups of the nodes before the first start."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand and return the exit code."""
    parser = argparse.ArgumentParser(prog="gpulab-gpud", description="The broker of this host's GPUs.")
    parser.add_argument("--config", type=Path, default=config.PATH, help="configuration file")
    parser.add_argument("--state", type=Path, default=PATH, help="database")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the broker")
    serve.add_argument("--socket", type=Path, default=server.SOCKET, help="unix socket")
    commands.add_parser("check", help="check the configuration")
    opening = commands.add_parser("open-all", help="open all GPUs to all users without the broker")
    opening.add_argument("--seconds", type=float, required=True, help="for how long; 0 closes them again")
    commands.add_parser("restore", help="give the device nodes the access back that they had before the first start")
    options = parser.parse_args(arguments)
    try:
        return _run(options)
    except (config.Invalid, Unusable, OSError) as error:
        sys.stderr.write(f"gpulab-gpud: {error}\n")
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.command == "restore":
        return restore(options.state)
    settings = config.read(options.config)
    if options.command == "check":
        return 0
    if options.command == "open-all":
        return open_all(settings, options.state, options.seconds)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    asyncio.run(run(settings, options.state, options.socket))
    return 0


def accounts_of(settings: Config) -> Accounts:
    """Return the reader of accounts."""
    return Accounts(settings.users_group, settings.admin_group, settings.policy.groups, settings.delegates)


async def run(settings: Config, state: Path, path: Path, before: Path = BEFORE) -> None:
    """Run the broker until SIGTERM. Grants and access stay as they are at its end."""
    source = cards.source(settings.devices)
    remember_nodes(source, before)
    store = Store(state)
    service = Service(settings, store, source, accounts_of(settings))
    await service.start()
    runner, listener = await server.listen(server.Api(service), path)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    rounds = asyncio.create_task(service.run())
    notify("READY=1")
    await stop.wait()
    rounds.cancel()
    listener.close()
    with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
        await asyncio.wait_for(runner.cleanup(), STOP_SECONDS)
    store.close()


def open_all(settings: Config, state: Path, seconds: float) -> int:
    """Open all GPUs to all users, and record it. A running broker does the same by a request; it closes them later."""
    if not 0 <= seconds <= LONGEST_OPEN:
        sys.stderr.write(f"gpulab-gpud: the time must be between 0 and {LONGEST_OPEN:.0f} seconds\n")
        return 2
    store = Store(state)
    current, clock, _existed = store.load()
    step = broker.open_all(current, clock.now(), seconds, f"for {seconds:.0f} s, without the broker")
    store.save(step.state, step.events, clock, "root")
    source = cards.source(settings.devices)
    try:
        read = source.read()
        common = source.common()
    except cards.Unreadable:
        # The driver does not answer: the nodes are known by their names.
        nodes = list(cards.DEV.glob("nvidia[0-9]*"))
        read, common = [cards.Card(node.name, node.name, (node,)) for node in nodes], cards.NvmlCards().common()
    access.apply(access.wanted(step.state, clock.now(), read, common, accounts_of(settings)))
    store.close()
    return 0


def remember_nodes(source: cards.Cards, path: Path = BEFORE) -> None:
    """Store group and mode of nodes that no broker has changed yet."""
    try:
        nodes = [node for card in source.read() for node in card.nodes] + source.common()
    except cards.Unreadable:
        return
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for node in nodes:
        with contextlib.suppress(OSError):
            if str(node) not in stored and acl.read(node) is None:
                status = os.lstat(node)
                stored[str(node)] = [status.st_mode & 0o7777, status.st_gid]
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(stored), encoding="utf-8")
    temporary.replace(path)


def restore(state: Path, path: Path = BEFORE) -> int:
    """Give the nodes the access back that they had before the first start, end all grants, and return 0.

    The audit log stays; a later installation starts without grants.
    """
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name, (mode, gid) in stored.items():
        with contextlib.suppress(FileNotFoundError):
            acl.remove(Path(name), mode, gid)
    path.unlink(missing_ok=True)
    if state.is_file():
        store = Store(state)
        store.clear()
        store.close()
    return 0


def notify(text: str) -> None:
    """Send a message to systemd (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.settimeout(5)
            connection.connect("\0" + address[1:] if address.startswith("@") else address)
            connection.sendall(text.encode())


if __name__ == "__main__":
    sys.exit(main())
