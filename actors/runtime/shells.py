"""The Ray shells: they name, place and forward, and decide nothing.

A named actor is no lock (a frozen node can leave two behind): the ledger's epoch is. Ray's own
retries stay off (``max_task_retries=0``), because it would repeat a call without asking; every call
that crosses is repeatable by its ids, and the proxy repeats it when the actor dies under it.
Errors of the pool cross as values, so that a caller sees them as they were raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from actors.aiokit import end
from actors.runtime.makings import Makings
from actors.runtime.ray_privacy import take
from actors.telemetry import log_stream
from pool.errors import PoolError

LEAVE_SECONDS = 2.0
"""For calls under way when an actor leaves. Whatever takes longer waits for something, and is asked
again of the successor."""


class Raised:
    """A ``PoolError`` on its way to the caller."""

    def __init__(self, error: PoolError) -> None:
        self.error = error


class Left:
    """The answer of an actor that leaves: nothing was begun, or it may be begun again."""


class ActorShell:
    """An actor around a plain object, which is made at the first call."""

    def __init__(
        self, make: Callable[[], Awaitable[Any]], makings: Makings, variables: Mapping[str, str]
    ) -> None:
        take(variables)
        self._make = make
        self._makings = makings
        self._object: Any = None
        self._making = asyncio.Lock()
        self._calls: set[asyncio.Task[Any]] = set()
        self._leaving = asyncio.Event()
        log_stream.begin(makings.log_level, makings.log_stream, echo=False)

    async def digest(self) -> str:
        """The digest of what it was made with."""
        return self._makings.digest

    async def pool(self) -> str:
        """Which pool it belongs to."""
        return self._makings.pool

    async def call(self, method: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call a public method of the object."""
        if method.startswith("_"):
            raise AttributeError(method)
        if self._leaving.is_set():
            return Left()
        call = asyncio.create_task(self._called(method, args, named))
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
        self._leaving.set()
        if self._calls:
            await asyncio.wait(self._calls, timeout=LEAVE_SECONDS)
        await end(self._calls)
        if self._object is not None:
            await self._object.close()

    async def _called(self, method: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        try:
            async with self._making:
                if self._object is None:
                    self._object = await self._make()
            return await getattr(self._object, method)(*args, **named)
        except PoolError as error:
            return Raised(error)


class RouterShell(ActorShell):
    """The router's actor."""


class SubscriptionShell(ActorShell):
    """A subscription's actor."""


class ReconcilerShell(ActorShell):
    """The reconciler's actor."""
