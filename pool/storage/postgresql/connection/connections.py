"""The connections of a process to one database: few, shared by all its stores, made again at need.

A connection on which anything went wrong is thrown away, never repaired. Settings that guarantees
rest on are made here and not left to the server's configuration.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from pool.storage.postgresql.connection.address import Address
from pool.storage.postgresql.connection.failures import Lost, is_passing, reason, store_error
from pool.storage.postgresql.connection.statements import Db

MOST = 4
"""One writes, the others read; more would only wait for the same disk."""
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 20.0
"""Longer than the server lets a statement take: only a server that is gone says nothing."""
CLOSE_SECONDS = 10.0
IDLE_SECONDS = 10.0
"""After that, a connection is given back to the server: subscriptions at rest hold none, and while
many come up one after the other the earlier ones have given theirs back. A new one takes some
milliseconds; a run of the CLI, a second.
"""

SETTINGS = {
    "application_name": "claude-pool",
    # A frozen owner holds its row that long, and then a takeover goes ahead.
    "idle_in_transaction_session_timeout": "2s",
    # Longer than that, so that a takeover outlasts it.
    "lock_timeout": "5s",
    "statement_timeout": "15s",
    # The server notices within half a minute that a machine is gone.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "jit": "off",
}

_DURABLE = """
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') = 'off'
"""
"""An answer may only be given once the commit is on the disk; stricter settings are left alone."""


async def _as_it_is(_: Any) -> None:
    """Connections go back without a further round trip: nothing is ever set in a session."""


class Connections:
    """An asyncpg pool, closed by the last store that leaves it."""

    _shared: dict[tuple[asyncio.AbstractEventLoop, str], Connections] = {}  # noqa: RUF012

    def __init__(self, address: Address) -> None:
        self.name = address.name
        self._key = (asyncio.get_running_loop(), address.url)
        self._users = 0
        self._opening = asyncio.Lock()
        self._pool: Any = None

    @classmethod
    async def joined(cls, address: Address) -> Connections:
        """Those to this address, of this process and event loop. Nothing is connected yet."""
        key = (asyncio.get_running_loop(), address.url)
        shared = cls._shared.get(key)
        if shared is None:
            shared = cls._shared[key] = cls(address)
        shared._users += 1
        return shared

    async def left(self) -> None:
        """One store less; the last one closes."""
        self._users -= 1
        if self._users:
            return
        del self._shared[self._key]
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), CLOSE_SECONDS)
        except Exception:  # noqa: BLE001 - whatever it was, the connections are not kept
            pool.terminate()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Db]:
        """A connection. One that an error leaves this with is closed at once.

        Raises ``Lost`` where there is none to be had, and where the error is one that passes.
        """
        pool = await self._opened()
        db = await self._acquired(pool)
        try:
            yield db
        except BaseException as error:
            with suppress(asyncpg.InterfaceError):  # it broke, and the pool has it back already
                db.terminate()
            if is_passing(error):
                raise Lost(reason(error)) from error
            raise
        finally:
            with suppress(Exception):  # it is closed then, as its next use shows
                await pool.release(db, timeout=CONNECT_SECONDS)

    async def _acquired(self, pool: Any) -> Db:
        try:
            return await pool.acquire(timeout=CONNECT_SECONDS)
        except Exception as error:
            if is_passing(error):
                raise Lost(reason(error)) from error
            # Whoever could not read the URL may quote it.
            known = isinstance(error, asyncpg.PostgresError)
            raise store_error(
                self.name, error if known else ValueError("the URL is wrong")
            ) from None

    async def _opened(self) -> Any:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._key[1],
                    min_size=0,
                    max_size=MOST,
                    timeout=CONNECT_SECONDS,
                    command_timeout=ANSWER_SECONDS,
                    max_inactive_connection_lifetime=IDLE_SECONDS,
                    init=_made_durable,
                    reset=_as_it_is,
                    server_settings=SETTINGS,
                )
            return self._pool


async def _made_durable(db: Db) -> None:
    await db.execute(_DURABLE)
