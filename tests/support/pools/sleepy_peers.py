"""Peers that leave and come back, in this process: each subscription is behind the ``Calls`` of its
actor, and whoever calls one that has left does as the proxy of Ray's actors does.

Between any two steps there is a pause of a length that is drawn, so that a seed is an order in
which leaving, calling and coming up meet.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from actors.interfaces.messages import Farewell
from actors.runtime.calls import Calls, Left, Raised
from actors.subscription.subscription import Subscription
from pool.errors import ActorLost, PoolError
from pool.subscriptions.spec import SubscriptionSpec
from tests.support.pools.local_peers import LocalPeers

PATIENCE_SECONDS = 20.0


@dataclass
class SleepyPeers(LocalPeers):
    random: Random | None = None
    there: dict[str, Calls] = field(default_factory=dict)
    """The actors that run."""
    activations: Counter[str] = field(default_factory=Counter)
    departures: Counter[str] = field(default_factory=Counter)

    def subscription(self, subscription_id: str) -> Subscription:
        return cast(Subscription, _Proxy(self, subscription_id))

    async def pause(self) -> None:
        """Let others go on, for some turns of the loop."""
        for _ in range(self.random.randrange(4) if self.random is not None else 0):
            await asyncio.sleep(0)

    async def activate(self, spec: SubscriptionSpec) -> None:
        async with self.one_at_a_time[spec.id]:
            if spec.id not in self.there:
                await self.pause()
                self.activations[spec.id] += 1
                self.there[spec.id] = Calls(lambda: self._made(spec))
            calls = self.there[spec.id]
        answer = await calls.call("configure", (spec,), {})
        if isinstance(answer, Raised):
            raise answer.error

    async def _made(self, spec: SubscriptionSpec) -> Subscription:
        made = self.subscriptions[spec.id] = await self.make(spec)
        return made

    async def fall_asleep(self, subscription_id: str, after: str | None) -> Farewell | None:
        calls = self.there.get(subscription_id)
        if calls is None:
            return None
        await self.pause()
        left = await calls.fall_asleep(after)
        if left is None:
            return None
        await self.pause()
        self.departures[subscription_id] += 1
        self._gone(subscription_id)
        await self.pause()
        if isinstance(left, Raised):
            raise left.error
        return cast(Farewell, left)

    async def deactivate(self, subscription_id: str) -> None:
        calls = self.there.get(subscription_id)
        if calls is not None:
            await calls.leave()
            self._gone(subscription_id)

    def _gone(self, subscription_id: str) -> None:
        self.there.pop(subscription_id, None)
        self.subscriptions.pop(subscription_id, None)


class _Proxy:
    def __init__(self, peers: SleepyPeers, subscription_id: str) -> None:
        self._peers = peers
        self._id = subscription_id

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **named: Any) -> Any:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    return await self._call(method, args, named)
            except TimeoutError:
                raise ActorLost(self._id, "it is not there") from None

        return call

    async def _call(self, method: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        while True:
            await self._peers.pause()
            calls = self._peers.there.get(self._id)
            answer: Any = Left() if calls is None else await calls.call(method, args, named)
            await self._peers.pause()
            if isinstance(answer, Raised):
                raise answer.error
            if not isinstance(answer, Left):
                return answer
            with suppress(PoolError):
                await self._peers.router().wake(self._id)
            await asyncio.sleep(0)
