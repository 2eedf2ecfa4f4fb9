"""The retirement of subscriptions that were taken out of ``pool.toml``.

One may have work from before the restart: runs that go on without their owner, and what waits. Its
actor comes up once more and lets go of that: what waits goes on at another subscription, what runs
is interrupted and settled with what it cost. Then it is forgotten. Until then it stays registered,
so that a router that dies meanwhile begins anew with the next start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from actors.aiokit import end
from pool.errors import PoolError

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
AT_ONCE_SECONDS = 3.0
"""How long a start waits for them: what has nothing left is gone by then, as a rule."""
LONGEST_SECONDS = 120.0
"""For one that cannot come up, or whose CLIs do not end: what it has then stays as it is."""


class Retirements:
    """Subscriptions that leave, each with a task. ``let_go`` has one let go of its executions, and
    says how many there are still.
    """

    def __init__(
        self,
        let_go: Callable[[str], Awaitable[int]],
        forget: Callable[[str], Awaitable[None]],
    ) -> None:
        self._let_go = let_go
        self._forget = forget
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def begin(self, ids: Iterable[str]) -> None:
        """Have subscriptions retire; they go on doing so by themselves where it takes long."""
        for subscription_id in ids:
            if subscription_id not in self._tasks:
                task = asyncio.create_task(self._retire(subscription_id))
                self._tasks[subscription_id] = task
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=AT_ONCE_SECONDS)

    async def end(self, subscription_id: str) -> None:
        """One that retires is put back: it is forgotten at once, and begins anew."""
        task = self._tasks.pop(subscription_id, None)
        if task is not None and not task.done():
            await end([task])
            await self._forget(subscription_id)

    async def close(self) -> None:
        await end(self._tasks.values())

    async def _retire(self, subscription_id: str) -> None:
        ids = {"subscription_id": subscription_id}
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                while await self._has_work(subscription_id):  # noqa: ASYNC110 - an actor's
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            log.warning("removed subscription leaves work behind", extra=ids)
        await self._forget(subscription_id)
        self._tasks.pop(subscription_id, None)
        log.info("subscription retired", extra=ids)

    async def _has_work(self, subscription_id: str) -> bool:
        try:
            return await self._let_go(subscription_id) > 0
        except PoolError as error:
            ids = {"subscription_id": subscription_id}
            log.warning("subscription does not retire", extra={**ids, "problem": str(error)})
            return True
