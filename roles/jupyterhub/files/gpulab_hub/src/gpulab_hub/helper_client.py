"""The hub's side of its root helpers: one line of JSON over a unix socket, and one that comes back."""

from __future__ import annotations

import asyncio


async def exchange(path: str, line: bytes, largest: int) -> bytes:
    """Send one line to a unix socket and return the line that comes back, `largest` bytes at most."""
    reader, writer = await asyncio.open_unix_connection(path, limit=largest)
    try:
        writer.write(line)
        await writer.drain()
        return await reader.readline()
    finally:
        writer.close()
