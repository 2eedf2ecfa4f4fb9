"""Activities: what subscriptions tell besides their reports, which is their events and their
counts.

Each subscription's events are followed by a cursor, so that each is told once. A router that begins
follows a subscription from their first call on: what happened there before is not told again.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.interfaces.messages import Activity
from actors.interfaces.subscription_actor import SubscriptionActor
from actors.telemetry.event_log import MOST_AT_ONCE
from actors.telemetry.recorder import beginning
from pool.telemetry.counters import Tally
from pool.telemetry.events import PoolEvent


class Activities:
    """The latest counts of each subscription, and how far its events were told."""

    def __init__(self, tell: Callable[[PoolEvent], None]) -> None:
        self.tell = tell
        self._tallies: dict[str, Tally] = {}
        self._heard_until: dict[str, str] = {}
        """By subscription, the cursor up to which its events were told."""

    @property
    def tallies(self) -> dict[str, Tally]:
        """The latest counts, by subscription."""
        return dict(sorted(self._tallies.items()))

    def cursor(self, subscription_id: str) -> str | None:
        """The cursor up to which a subscription's events were told; None where none were yet."""
        return self._heard_until.get(subscription_id)

    def begins_anew(self, subscription_id: str, epoch: int) -> None:
        """A subscription came up as a new activation, after the one before had told everything: the
        new one's events are followed from its beginning.
        """
        self._heard_until[subscription_id] = beginning(epoch)

    def forget(self, subscription_id: str) -> None:
        self._tallies.pop(subscription_id, None)
        self._heard_until.pop(subscription_id, None)

    async def hear(self, subscription_id: str, peer: SubscriptionActor) -> None:
        """Ask a subscription for what it has to tell: one call, unless very much has happened."""
        while True:
            activity = await peer.activity(self.cursor(subscription_id))
            self.take_over(subscription_id, activity)
            if len(activity.page.items) < MOST_AT_ONCE:
                return

    def take_over(self, subscription_id: str, activity: Activity) -> None:
        """Tell the events of a subscription with its id, and keep its counts."""
        for event in activity.page.items:
            happening = event.happening
            self.tell(happening.model_copy(update={"subscription_id": subscription_id}))
        self._heard_until[subscription_id] = activity.page.cursor
        self._tallies[subscription_id] = activity.tally
