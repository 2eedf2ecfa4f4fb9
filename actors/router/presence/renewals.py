"""The renewal of outdated actors: those of an earlier version, or of a configuration since changed.

One actor is renewed at a time. It serves until its turn comes; then it leaves in order, its
successor comes up, and only after that the next one's turn begins. So the pool never lacks more
than one subscription.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from actors.aiokit import end
from pool.errors import PoolError

log = logging.getLogger(__name__)


class Renewals:
    """The subscriptions whose actors are to be renewed, one after the other."""

    def __init__(self, renew: Callable[[str], Awaitable[None]]) -> None:
        self._renew = renew
        self._waiting: dict[str, None] = {}
        """The ids of the subscriptions, in their order; the first one's turn it is."""
        self._task: asyncio.Task[None] | None = None

    def add(self, subscription_id: str) -> None:
        """Have a subscription renewed in its turn."""
        self._waiting.setdefault(subscription_id)
        self._begin()

    async def leave(self, subscription_id: str) -> None:
        """Do not renew this subscription any more, and go on with the others."""
        is_its_turn = subscription_id == next(iter(self._waiting), None)
        self._waiting.pop(subscription_id, None)
        if is_its_turn:
            await self.close()
            self._begin()

    async def close(self) -> None:
        """Renew none any more. Whose turn it is may be gone: its follower brings it up."""
        if self._task is not None:
            await end([self._task])

    def _begin(self) -> None:
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._waiting:
            subscription_id = next(iter(self._waiting))
            ids = {"subscription_id": subscription_id}
            try:
                await self._renew(subscription_id)
            except PoolError as error:  # its follower brings it up, and sees what it is by then
                log.warning("subscription not renewed", extra={**ids, "problem": str(error)})
            except Exception:  # a defect in one must not keep the others as they are
                log.exception("subscription not renewed", extra=ids)
            self._waiting.pop(subscription_id, None)
