# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the broker of GPUs next to an empty HTTP server on the same machine: requests, memory, start.

The broker runs in a process of its own, with nodes that are files and accounts of a table. 200 clients request and
release slots of two GPUs at the same time. `python -m bench.gpud` prints figures and ratios.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles
from typing import Any

import aiohttp
from aiohttp import web
from gpulab_gpud.clock import Clock
from gpulab_gpud.core.model import Event, State
from gpulab_gpud.store import Store

from tests.support.gpud import Lab

CLIENTS = 200
SECONDS = 16.0
PAUSE = 4.0
"""Seconds between two requests of a client."""
PAST = 10_000
"""Grants of the past whose records the broker has at its start."""
LIMIT = 120.0


def users(lab: Lab) -> None:
    """Add a user for each client; every connection is that of an administrator."""
    names = [f"user{number}" for number in range(CLIENTS)]
    lab.accounts.members.update({name: {"users"} for name in names})
    lab.accounts.numbers.update({name: 2000 + number for number, name in enumerate(names)})
    lab.accounts.connects = "boss"
    # As on a host, where an account is read once in some seconds.
    boss = lab.accounts.caller(os.getuid(), 0)
    lab.accounts.known = lambda *_: boss  # type: ignore[method-assign]


async def broker(directory: Path) -> None:
    """Run the broker until its process is ended."""
    lab = Lab(directory)
    users(lab)
    started = time.monotonic()
    async with lab.running():
        (directory / "started").write_text(str(time.monotonic() - started), encoding="ascii")
        await asyncio.sleep(LIMIT)


async def empty(directory: Path) -> None:
    """Run a server that answers nothing, until its process is ended."""

    async def answer(request: web.Request) -> web.Response:
        response = web.json_response({"path": request.path})
        response.force_close()
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.UnixSite(runner, str(directory / "gpu.sock"), backlog=512).start()
    (directory / "started").write_text("0", encoding="ascii")
    await asyncio.sleep(LIMIT)


async def client(directory: Path, number: int, until: float, took: list[float]) -> None:
    """Request a slot and release it, again and again."""
    connector = aiohttp.UnixConnector(str(directory / "gpu.sock"))
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        await asyncio.sleep(PAUSE * number / CLIENTS)
        while time.monotonic() < until:
            begun = time.monotonic()
            body = {"user": f"user{number}"}
            async with session.post("http://gpud/v1/requests", json=body) as response:
                answer = await response.json()
            took.append(time.monotonic() - begun)
            async with session.delete(f"http://gpud/v1/requests/{answer.get('id', 1)}") as response:
                await response.read()
            await asyncio.sleep(PAUSE)


async def load(directory: Path) -> list[float]:
    """Run all clients and return the times of requests, in seconds."""
    took: list[float] = []
    until = time.monotonic() + SECONDS
    await asyncio.gather(*(client(directory, number, until, took) for number in range(CLIENTS)))
    return took


def measure(serve: Any, directory: Path) -> dict[str, float]:
    """Return the figures of a server."""
    process = multiprocessing.get_context("spawn").Process(target=run, args=(serve.__name__, str(directory)))
    process.start()
    try:
        until = time.monotonic() + LIMIT
        while not (directory / "started").exists():
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.05)
        begun = time.monotonic()
        took = asyncio.run(load(directory))
        percent = quantiles(took, n=100)
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
        return {
            "requests per second": 2 * len(took) / (time.monotonic() - begun),
            "median ms": percent[49] * 1000,
            "p99 ms": percent[98] * 1000,
            "memory MB": memory / 1024,
            "start s": float((directory / "started").read_text(encoding="ascii")),
        }
    finally:
        process.terminate()
        process.join(30)


def run(name: str, directory: str) -> None:
    """Run a server in its own process."""
    asyncio.run({"broker": broker, "empty": empty}[name](Path(directory)))


def fill(directory: Path) -> None:
    """Write the records of past grants."""
    store = Store(directory / "gpu.sqlite")
    _, clock, _ = store.load()
    kinds = ("requested", "granted", "released")
    for first in range(0, PAST, 1000):
        events = [Event(0.0, kind, "ada", number, "") for number in range(first, first + 1000) for kind in kinds]
        store.save(State(next_id=first + 1001), events, Clock(0.0, 0.0, clock.boot), "bench")
    store.close()


def main() -> int:
    """Print the figures and the ratios."""
    results = {}
    for serve in (empty, broker):
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            if serve is broker:
                fill(directory)
            results[serve.__name__] = measure(serve, directory)
    lines = [f"{CLIENTS} clients, {os.cpu_count()} cores, {PAST} past grants"]
    for figure, value in results["broker"].items():
        other = results["empty"][figure]
        ratio = f", {value / other:.1f} times" if other else ""
        lines.append(f"{figure:20} {value:8.1f}   an empty server: {other:8.1f}{ratio}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
