"""The Ray shells: they name, place and forward, and decide nothing.

A named actor is no lock (a frozen node can leave two behind): the ledger's epoch is. Ray's own
retries stay off (``max_task_retries=0``), because it would repeat a call without asking; every call
that crosses is repeatable by its ids, and the proxy repeats it when the actor dies under it.
Errors of the pool cross as values, so that a caller sees them as they were raised.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from actors.runtime.blueprint import Blueprint
from actors.runtime.calls import Calls
from actors.runtime.ray_privacy import take
from actors.telemetry import log_stream


class ActorShell:
    """An actor around a plain object, which is made at the first call."""

    def __init__(
        self, make: Callable[[], Awaitable[Any]], blueprint: Blueprint, variables: Mapping[str, str]
    ) -> None:
        take(variables)
        self._blueprint = blueprint
        self._calls = Calls(make)
        log_stream.begin(blueprint.log_level, blueprint.log_stream, echo=False)

    async def digest(self) -> str:
        """The digest of what it was made with."""
        return self._blueprint.digest

    async def pool(self) -> str:
        """Which pool it belongs to."""
        return self._blueprint.pool

    async def call(self, method: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call a public method of the object."""
        return await self._calls.call(method, args, named)

    async def leave(self) -> None:
        """See ``Calls.leave``."""
        await self._calls.leave()


class RouterShell(ActorShell):
    """The router's actor."""


class SubscriptionShell(ActorShell):
    """A subscription's actor."""

    async def fall_asleep(self, after: str | None) -> Any:
        """See ``Calls.fall_asleep``."""
        return await self._calls.fall_asleep(after)


class ReconcilerShell(ActorShell):
    """The reconciler's actor."""
