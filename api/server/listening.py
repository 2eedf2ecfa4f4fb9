"""Answering HTTP on a socket, with uvicorn, inside an event loop that belongs to somebody else.

uvicorn runs as it is, but leaves the signals to whoever holds the process, and says when it is
ready. The socket is bound beforehand, so that a taken port is found before anything is started.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from actors.aiokit import within
from api.server.connection import KEEP_ALIVE_SECONDS, TOLD_KEEP_ALIVE_SECONDS, Connection
from api.web.request.head import MAX_HEAD_BYTES
from pool.config import ServerSettings
from pool.errors import ConfigError

GRACE_SECONDS = 10
"""For answers on their way at the end. Waiting callers find their execution again by its id."""
DATE_SECONDS = 1.0
"""How long answers bear the same ``date``, which counts in seconds."""


class _Server(uvicorn.Server):
    """uvicorn that leaves the signals alone, says when it is ready, and does not look ten times a
    second whether it is to end.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Take no more requests; ``serve`` returns when what is on its way is answered."""
        self.should_exit = True
        self._ending.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(counter=0):
            await within(DATE_SECONDS, self._ending)


def bound(settings: ServerSettings) -> socket.socket:
    """A socket at the configured address; ``ConfigError`` where it cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's algorithm off only then: 40 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            "server.port",
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror or error}): "
            "stop what listens there, or choose another port",
        ) from None
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def listening(app: FastAPI, listener: socket.socket) -> AsyncIterator[str]:
    """Serve ``app`` until the block ends; yields its URL once requests are taken."""
    url = _url(listener)
    config = uvicorn.Config(
        app,
        http=Connection,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        headers=[("keep-alive", f"timeout={TOLD_KEEP_ALIVE_SECONDS}")],
        ws="none",
        proxy_headers=False,  # or whoever is on this machine could call from any address
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    ready = asyncio.create_task(server.ready.wait())
    try:
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
        yield url
    finally:
        ready.cancel()
        server.end()
        await running
