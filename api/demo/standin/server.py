"""Serving the stand-in on loopback from a thread of its own.

uvicorn runs as it is but for two things: each request can reach its connection, so that an answer
can break off as a real network does, and stopping closes the connections that are still busy, so
that no stalled answer holds a test up.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.demo.standin.standin import Standin

_START_SECONDS = 30  # a cold import on a loaded machine takes seconds
_STOP_SECONDS = 10


@dataclass(frozen=True)
class Server:
    """A running stand-in: where it listens, and its mind for steering and watching."""

    url: str
    standin: Standin


@contextmanager
def serving(app: FastAPI, port: int = 0) -> Iterator[Server]:
    """Serve an app of `create_app` on 127.0.0.1 until the block ends; port 0 takes a free one.

    Requests are accepted from the first line of the block on. Afterwards the thread is gone and
    every connection closed, busy ones included. Raises OSError when the port is taken, TimeoutError
    when starting or stopping hangs.
    """
    # The protocol is named because asyncio turns Nagle's algorithm off only then: 40 ms an answer.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        config = uvicorn.Config(
            app, http=_Connection, ws="none", lifespan="off", log_config=None, access_log=False,
            timeout_graceful_shutdown=_STOP_SECONDS // 2,
        )  # fmt: skip
        uvicorn_server = _Uvicorn(config)
        thread = threading.Thread(
            target=uvicorn_server.run, kwargs={"sockets": [listener]}, name="standin", daemon=True
        )
        thread.start()
        try:
            if not uvicorn_server.ready.wait(_START_SECONDS):
                raise TimeoutError(f"the stand-in did not start within {_START_SECONDS} s")
            yield Server(f"http://127.0.0.1:{listener.getsockname()[1]}", app.state.standin)
        finally:
            uvicorn_server.should_exit = True
            thread.join(_STOP_SECONDS)
        if thread.is_alive():
            raise TimeoutError(f"the stand-in did not stop within {_STOP_SECONDS} s")


class _Connection(H11Protocol):
    """A connection that its requests can reach as `scope["state"]["transport"]`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self.app_state = {**self.app_state, "transport": transport}


class _Uvicorn(uvicorn.Server):
    """uvicorn that says when it is ready, and stops at once."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            cast("_Connection", connection).transport.close()
        await super().shutdown(sockets)
