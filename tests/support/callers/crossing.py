"""A pool that is somewhere else: every call leaves its event loop, and what it takes, answers and
raises is pickled on the way, as it is between the processes of a cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from actors.reconciler.reconciler import Reconciler
from actors.router.router import Router
from actors.runtime.cluster import ray
from actors.subscription.subscription import Subscription
from pool.errors import PoolError
from tests.support.pools.local_peers import LocalPeers


class _There:
    """Stands for an object of the pool's loop, in any other."""

    def __init__(self, found: Callable[[], object], home: asyncio.AbstractEventLoop) -> None:
        self._found = found
        self._home = home

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        if method.startswith("_"):
            raise AttributeError(method)

        async def call(*args: object, **named: object) -> Any:
            crossed = ray.cloudpickle.dumps((args, named))
            future = asyncio.run_coroutine_threadsafe(self._answer(method, crossed), self._home)
            answer, is_error = ray.cloudpickle.loads(await asyncio.wrap_future(future))
            if is_error:
                raise answer
            return answer

        return call

    async def _answer(self, method: str, crossed: bytes) -> bytes:
        args, named = ray.cloudpickle.loads(crossed)
        try:
            answer = await getattr(self._found(), method)(*args, **named)
        except PoolError as error:
            return ray.cloudpickle.dumps((error, True))
        return ray.cloudpickle.dumps((answer, False))


class Crossing:
    """The peers of a local pool, for clients in any thread. Made in the pool's loop."""

    def __init__(self, actors: LocalPeers) -> None:
        self._actors = actors
        self._home = asyncio.get_running_loop()

    def router(self) -> Router:
        return cast(Router, _There(self._actors.router, self._home))

    def subscription(self, subscription_id: str) -> Subscription:
        return cast(
            Subscription, _There(lambda: self._actors.subscription(subscription_id), self._home)
        )

    def reconciler(self) -> Reconciler:
        return cast(Reconciler, _There(self._actors.reconciler, self._home))
