"""Locks of dispatching: one dispatch of a key, an execution or a session at a time.

While one has been refused here and asks there, a second one must not be admitted here. They are
taken in this order (key, execution, session), where several are needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.aiokit import Keyed


class DispatchLocks:
    """The locks of one router."""

    def __init__(self) -> None:
        self._keys = Keyed(asyncio.Lock)
        self._executions = Keyed(asyncio.Lock)
        self._sessions = Keyed(asyncio.Lock)

    @asynccontextmanager
    async def key(self, scoped_key: str) -> AsyncIterator[None]:
        async with self._keys[scoped_key]:
            yield

    @asynccontextmanager
    async def execution(self, execution_id: str) -> AsyncIterator[None]:
        async with self._executions[execution_id]:
            yield

    @asynccontextmanager
    async def session(self, session_id: str) -> AsyncIterator[None]:
        async with self._sessions[session_id]:
            yield
