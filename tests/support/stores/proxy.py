"""A wire to a database that breaks on demand: at the very COMMIT, or altogether."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum

LATE_SECONDS = 0.5


class Fault(Enum):
    BEFORE = "cut before the server has heard of the COMMIT"
    AFTER = "cut when the server has answered the COMMIT"
    LATE = "cut, while the COMMIT is still on its way and arrives later"
    HOLD = "held up until it is let go"


class Proxy:
    """Passes bytes on, until its next COMMIT meets ``fault``; one COMMIT uses the fault up."""

    def __init__(self, target: int) -> None:
        self.fault: Fault | None = None
        self.struck = asyncio.Event()
        """The fault has happened."""
        self.let_go = asyncio.Event()
        self.is_open = True
        """Whether new connections are let through."""
        self.port = 0
        self._target = target
        self._wires: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def to(cls, port: int) -> AsyncIterator[Proxy]:
        self = cls(port)
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for wire in self._wires:
                wire.cancel()
            await asyncio.gather(*self._wires, return_exceptions=True)
            await server.wait_closed()

    async def _connected(self, near: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        if not self.is_open:
            client.transport.abort()
            return
        far, server = await asyncio.open_connection("127.0.0.1", self._target)
        wire = asyncio.ensure_future(self._wire(near, client, far, server))
        self._wires.add(wire)
        wire.add_done_callback(self._wires.discard)

    async def _wire(
        self,
        near: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        far: asyncio.StreamReader,
        server: asyncio.StreamWriter,
    ) -> None:
        back = asyncio.ensure_future(_pass_on(far, client))
        try:
            while chunk := await near.read(65536):
                if self.fault is not None and b"COMMIT" in chunk:
                    fault, self.fault = self.fault, None
                    if not await self._strike(fault, chunk, back, far, client, server):
                        return
                else:
                    server.write(chunk)
        except OSError:
            pass
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            client.transport.abort()
            server.transport.abort()

    async def _strike(
        self,
        fault: Fault,
        commit: bytes,
        back: asyncio.Future[None],
        far: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        server: asyncio.StreamWriter,
    ) -> bool:
        """Whether the wire goes on after it."""
        if fault is Fault.HOLD:
            self.struck.set()
            await self.let_go.wait()
            server.write(commit)
            return True
        back.cancel()
        await asyncio.gather(back, return_exceptions=True)
        if fault is Fault.AFTER:
            server.write(commit)
            await far.read(1)
        client.transport.abort()
        self.struck.set()
        if fault is Fault.LATE:
            await asyncio.sleep(LATE_SECONDS)
            server.write(commit)
            await far.read(1)
        return False


async def _pass_on(far: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await far.read(65536):
            client.write(chunk)
    client.transport.abort()
