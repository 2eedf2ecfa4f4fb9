"""The alarms of those who sleep: what is due there by the clock, seen to by the router, which is
always there.

They are kept with what a sleeper left, so that they outlive this router, and one that was due while
nobody was there goes off as soon as somebody is. Each goes off at least once: it is set anew when
what it is for is done. Prompts and answers are removed from the ledger of a sleeper, which stays
asleep; once a day each comes up, one after the other, and does what takes its actor: it reads the
end of its login and Anthropic's limits, counts what was used outside the pool, and looks for costs
that nobody knew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from actors.aiokit import every
from actors.router.ledgers.archive import Archive
from actors.router.ledgers.resting import RestingLedgers
from actors.router.presence.followers import Followers
from actors.router.presence.sleepers import Sleepers
from pool.errors import PoolError

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""Between two looks at all alarms: they are in memory, a thousand of them take 0.2 ms."""
ONE_COMES_UP = timedelta(seconds=30)
"""Between two that come up for their daily look: where all are due, after a night without the
service, requests have the machine."""


class Alarms:
    """Sees to what is due at those who sleep."""

    def __init__(
        self,
        sleepers: Sleepers,
        followers: Followers,
        ledgers: RestingLedgers,
        archive: Archive,
        clock: Callable[[], datetime],
    ) -> None:
        self._sleepers = sleepers
        self._followers = followers
        self._ledgers = ledgers
        self._archive = archive
        self._clock = clock
        self._came_up_at: datetime | None = None
        """When one came up for the last time for this."""

    async def tend(self) -> None:
        """See to all of them, for as long as the router lives."""
        await every(LOOK_SECONDS, self.ring, "alarms of those who sleep were not looked at")

    async def ring(self) -> None:
        """See to what is due now."""
        now = self._clock()
        for subscription_id in self._sleepers.to_be_cleaned(now):
            try:
                await self._clean(subscription_id)
            except (PoolError, OSError, TimeoutError) as error:
                ids = {"subscription_id": subscription_id}
                log.warning(
                    "sleeping subscription not cleaned", extra={**ids, "problem": str(error)}
                )
        is_next = self._came_up_at is None or now - self._came_up_at >= ONE_COMES_UP
        due = self._sleepers.next_to_look(now) if is_next else None
        if due is not None:
            self._came_up_at = now
            await self._followers.wake(due)

    async def _clean(self, subscription_id: str) -> None:
        """Remove what is due from the ledger of one that sleeps; one that is up does so itself."""
        async with self._ledgers.of(subscription_id) as ledger:
            if ledger is not None:
                await self._archive.remove_due(ledger)
                await self._sleepers.cleaned(subscription_id, await ledger.first_content())
