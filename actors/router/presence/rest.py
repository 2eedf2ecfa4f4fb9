"""The rest of subscriptions: who sleeps, falls asleep or comes up from sleep, and who of them is
needed.
"""

from __future__ import annotations

import asyncio

from actors.aiokit import News
from actors.router.presence import first_reports
from actors.router.presence.activation_queue import ActivationQueue


class Rest:
    """Which subscriptions rest. Whoever needs one waits here until its follower has it up."""

    def __init__(self, queue: ActivationQueue, news: News) -> None:
        self._queue = queue
        self._news = news
        self._resting: set[str] = set()
        self._wanted: dict[str, asyncio.Event] = {}
        """By subscription that is followed; set while somebody needs it, until it is up."""

    def __contains__(self, subscription_id: str) -> bool:
        return subscription_id in self._resting

    def __len__(self) -> int:
        return len(self._resting)

    @property
    def ids(self) -> frozenset[str]:
        """The ids of the subscriptions that sleep, fall asleep, or come up from sleep."""
        return frozenset(self._resting)

    def follow(self, subscription_id: str) -> None:
        """A subscription is followed from now on; it does not rest yet."""
        self._wanted.setdefault(subscription_id, asyncio.Event())

    def forget(self, subscription_id: str) -> None:
        """A subscription is not followed any more."""
        self.end(subscription_id)
        self._wanted.pop(subscription_id, None)

    def begin(self, subscription_id: str) -> None:
        self._resting.add(subscription_id)

    def end(self, subscription_id: str) -> None:
        self._resting.discard(subscription_id)

    def is_up(self, subscription_id: str) -> None:
        """A subscription has come up: it does not rest, and nobody waits for it any more."""
        self._wanted[subscription_id].clear()
        self.end(subscription_id)

    async def wanted(self, subscription_id: str) -> None:
        """Wait until somebody needs a subscription."""
        await self._wanted[subscription_id].wait()

    async def wake(self, subscription_id: str) -> None:
        """Have a subscription that rests come up, before others. Returns once it is up, or after
        ``FIRST_REPORT_SECONDS``; at once for one that does not rest.
        """
        if subscription_id not in self._resting:
            return
        self._wanted[subscription_id].set()
        self._queue.want(subscription_id)
        await self._news.until(
            lambda: subscription_id not in self._resting, first_reports.FIRST_REPORT_SECONDS
        )
