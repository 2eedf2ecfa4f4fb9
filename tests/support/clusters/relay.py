"""Passes connections on, from one end to another: ``relay.py SOURCE TARGET``, each ``unix:PATH`` or
``HOST:PORT``. A path is the same on all hosts of a machine, whatever their networks. It says
``ready`` once it listens, and ends when it is told nothing any more.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Any


async def main(source: str, target: str) -> None:
    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_target, from_target = await _connected(target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copied(reader, from_target), _copied(to_target, writer))

    server = await _listening(source, passed)
    async with server:
        print("ready", flush=True)  # noqa: T201 - to whoever started this
        await asyncio.to_thread(sys.stdin.buffer.read)


async def _connected(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    kind, _, rest = target.partition(":")
    if kind == "unix":
        return await asyncio.open_unix_connection(rest)
    return await asyncio.open_connection(kind, int(rest))


async def _listening(source: str, passed: Any) -> asyncio.Server:
    kind, _, rest = source.partition(":")
    if kind == "unix":
        return await asyncio.start_unix_server(passed, rest)
    return await asyncio.start_server(passed, kind, int(rest))


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one of the two is gone; an end is passed on as an end."""
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
