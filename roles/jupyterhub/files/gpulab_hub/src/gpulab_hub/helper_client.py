# SPDX-License-Identifier: GPL-3.0-or-later
"""Client of the hub's root helpers: one line of JSON as request and one as answer, over a unix socket."""

from __future__ import annotations

import asyncio


async def exchange(path: str, line: bytes, largest: int) -> bytes:
    """Send one line to a unix socket and return the line of the answer, at most `largest` bytes."""
    reader, writer = await asyncio.open_unix_connection(path, limit=largest)
    try:
        writer.write(line)
        await writer.drain()
        return await reader.readline()
    finally:
        writer.close()
