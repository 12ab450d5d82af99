# SPDX-License-Identifier: GPL-3.0-or-later
"""The hub's requests to the launcher."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gpulab_hub import units


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Callable[[bytes], str]]:
    """Start launchers that answer with given bytes; return how to start one."""
    closing: list[socket.socket] = []

    def listen(data: bytes) -> str:
        path = str(tmp_path / f"{len(closing)}.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        closing.append(listener)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        return path

    yield listen
    for listener in closing:
        listener.close()


def test_hub_reads_the_launchers_answers(answering: Callable[[bytes], str]) -> None:
    """Success is silent; every failure is one message."""
    asyncio.run(units.call({"action": "stop"}, answering(b'{"ok": true}\n')))
    for data, reason in ((b'{"error": "uid 0"}\n', "uid 0"), (b"", "without an answer"), (b"x\n", "without an answer")):
        with pytest.raises(units.LauncherFailed, match=reason):
            asyncio.run(units.call({"action": "stop"}, answering(data)))


def test_class_that_starts_at_once_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket would drop the connections of those who are too many."""
    running: list[int] = [0, 0]

    async def exchange(path: str, line: bytes, largest: int) -> bytes:
        running[0] += 1
        running[1] = max(running)
        await asyncio.sleep(0.01)
        running[0] -= 1
        return b'{"ok": true}\n'

    async def send_all() -> None:
        monkeypatch.setattr(units, "places", asyncio.Semaphore(units.AT_ONCE))
        await asyncio.gather(*(units.call({"action": "stop"}) for _ in range(100)))

    monkeypatch.setattr(units, "exchange", exchange)
    asyncio.run(send_all())
    assert running == [0, units.AT_ONCE]


def test_launcher_that_is_missing_or_hangs_is_reported(tmp_path: Path) -> None:
    """With what to look at, and after the time limit."""
    with pytest.raises(units.LauncherFailed, match="systemctl status"):
        asyncio.run(units.call({}, str(tmp_path / "missing.sock")))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "hangs.sock"))
        listener.listen()
        with pytest.raises(units.LauncherFailed, match=r"within 0 s.*journalctl"):
            asyncio.run(units.call({}, str(tmp_path / "hangs.sock"), patience=0.2))
