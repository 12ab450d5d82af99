# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of the root helper, and the cache of the status of accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from gpulab_hub.passwords import AccountStatus, HelperClient, HelperUnavailable, StatusCache, Verdict

WORD = "a-secret-word"


async def with_server(path: Path, answer: bytes | None, use: Callable[[HelperClient], Awaitable[Any]]) -> Any:
    """Use a client against a server that answers with some bytes, or never (None)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        if answer is None:
            await asyncio.sleep(30)
        writer.write(answer or b"")
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        return await use(HelperClient(str(path), timeout=0.2))
    finally:
        server.close()


def test_client_reads_a_verdict_and_a_status(tmp_path: Path) -> None:
    """An answer is one line."""
    answer = b'{"result": "ok", "reason": "", "fingerprint": "f"}\n'
    assert asyncio.run(with_server(tmp_path / "a", answer, lambda it: it.check("ada", WORD))) == Verdict("ok", "", "f")
    answer = b'{"result": "ok", "accounts": {"ada": {"fingerprint": null, "may_log_in": false, "reason": "r"}}}\n'
    status = asyncio.run(with_server(tmp_path / "b", answer, lambda it: it.status()))
    assert status == {"ada": AccountStatus(None, False, "r")}


@pytest.mark.parametrize("answer", [b"", b"nonsense\n", b"[]\n", b'{"result": "yes"}\n', None])
def test_client_names_the_socket_and_the_log(tmp_path: Path, answer: bytes | None) -> None:
    """A helper that is stopped, too busy, too slow or broken is an error with what to read, without the password."""
    path = tmp_path / "socket"
    with pytest.raises(HelperUnavailable, match=r"systemctl status gpulab-password\.socket") as caught:
        asyncio.run(with_server(path, answer, lambda it: it.check("ada", WORD)))
    assert str(path) in str(caught.value)
    assert WORD not in repr(caught.value)


def test_missing_socket_is_an_error_in_words(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(HelperUnavailable, match="No such file"):
        asyncio.run(HelperClient(str(tmp_path / "none")).status())


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Move on at once."""
        self.now += seconds
        self.slept += seconds


def test_state_of_accounts_is_read_once_for_all() -> None:
    """Once for users who come at the same time, again when it is old or must be newer."""

    async def scenario() -> list[int]:
        reads, clock, counts = 0, Clock(), []

        async def read() -> dict[str, AccountStatus]:
            nonlocal reads
            reads += 1
            await asyncio.sleep(0)
            return {"ada": AccountStatus("f")}

        cache = StatusCache(read, 10.0, clock)
        await asyncio.gather(*(cache.get("ada") for _ in range(20)))
        counts.append(reads)
        clock.now += 9
        assert await cache.get("ghost") is None
        counts.append(reads)
        await cache.get("ada", since=clock.now)
        counts.append(reads)
        clock.now += 11
        await cache.get("ada")
        return [*counts, reads]

    assert asyncio.run(scenario()) == [1, 1, 2, 3]
