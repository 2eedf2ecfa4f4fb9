"""The calls of an actor: passed on to the object in it, until that leaves.

An actor leaves in order because it is replaced, ends, or falls asleep. From that step on every call
is answered with ``Left``, by which whoever calls knows that nothing was begun, or that it may be
begun again elsewhere: of the successor, or of the next activation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from actors.aiokit import end
from pool.errors import ConfigError, PoolError

LEAVE_SECONDS = 2.0
"""For calls under way when an actor leaves. Whatever takes longer waits for something, and is asked
again of the successor."""
READS_AHEAD = frozenset({"activity", "happenings", "next_report", "progress", "result"})
"""Calls that wait for what comes next and change nothing: at once asked again of the successor. The
router has one under way at each subscription always, and who looks at the page one at the router.
"""

REFUSED_SECONDS = 1.0
"""For how long it stays known why an object cannot be made as it is configured: to find that out
may take seconds, and calls that wait for it would do so one after the other."""


class Raised:
    """A ``PoolError`` on its way to the caller."""

    def __init__(self, error: PoolError) -> None:
        self.error = error


class Left:
    """The answer of an actor that leaves: nothing was begun, or it may be begun again."""


class Calls:
    """An object, made at the first call, and the calls of it that are under way."""

    def __init__(self, make: Callable[[], Awaitable[Any]]) -> None:
        self._make = make
        self._object: Any = None
        self._making = asyncio.Lock()
        self._refused: tuple[float, ConfigError] | None = None
        """When it could not be made, and why."""
        self._calls: set[asyncio.Task[Any]] = set()
        self._leaving = asyncio.Event()

    async def call(self, method: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call a public method of the object."""
        if method.startswith("_"):
            raise AttributeError(method)
        if self._leaving.is_set():
            return Left()
        call = asyncio.create_task(self._called(method, args, named), name=method)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        try:
            return await call
        except asyncio.CancelledError:
            if self._leaving.is_set():
                return Left()
            raise

    async def leave(self) -> None:
        """Take no further call, see through those under way, cut those that wait, and let go of
        what the object holds. The process may then be ended.
        """
        await self._see_through()
        if self._object is not None:
            await self._object.close()

    async def fall_asleep(self, after: str | None) -> Any:
        """Leave, where the object has nothing to do; what it leaves. None where it stays, which is
        decided in the very step that takes the last call.
        """
        if self._leaving.is_set() or self._object is None or not self._object.is_idle():
            return None
        await self._see_through()
        try:
            return await self._object.fall_asleep(after)
        except PoolError as error:
            return Raised(error)

    async def _see_through(self) -> None:
        self._leaving.set()
        await end({call for call in self._calls if call.get_name() in READS_AHEAD})
        if self._calls:
            await asyncio.wait(self._calls, timeout=LEAVE_SECONDS)
        await end(self._calls)

    async def _called(self, method: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        try:
            async with self._making:
                if self._object is None:
                    self._object = await self._made()
            return await getattr(self._object, method)(*args, **named)
        except PoolError as error:
            return Raised(error)

    async def _made(self) -> Any:
        clock = asyncio.get_running_loop().time
        if self._refused is not None and clock() - self._refused[0] < REFUSED_SECONDS:
            raise self._refused[1]
        try:
            return await self._make()
        except ConfigError as error:
            self._refused = clock(), error
            raise
