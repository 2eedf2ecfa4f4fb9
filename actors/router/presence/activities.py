"""Activities: what subscriptions tell beside their reports, that is what happened, and counts.

What was before the first word of one to this router is not told again.
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
    """The latest counts of each, and how far its events were told."""

    def __init__(self, tell: Callable[[PoolEvent], None]) -> None:
        self.tell = tell
        self._tallies: dict[str, Tally] = {}
        self._heard_until: dict[str, str] = {}
        """The cursor of each one's news."""

    @property
    def tallies(self) -> dict[str, Tally]:
        """The latest counts, by id."""
        return dict(sorted(self._tallies.items()))

    def cursor(self, subscription_id: str) -> str | None:
        """How far the events of one were told."""
        return self._heard_until.get(subscription_id)

    def begins_anew(self, subscription_id: str, epoch: int) -> None:
        """One is another activation, and what the one before told is complete."""
        self._heard_until[subscription_id] = beginning(epoch)

    def forget(self, subscription_id: str) -> None:
        self._tallies.pop(subscription_id, None)
        self._heard_until.pop(subscription_id, None)

    async def hear(self, subscription_id: str, peer: SubscriptionActor) -> None:
        """Take over what one has to tell: one call, unless very much happened at once."""
        while True:
            activity = await peer.activity(self.cursor(subscription_id))
            self.take_over(subscription_id, activity)
            if len(activity.page.items) < MOST_AT_ONCE:
                return

    def take_over(self, subscription_id: str, activity: Activity) -> None:
        """Tell what happened at one, in its name."""
        for event in activity.page.items:
            happening = event.happening
            self.tell(happening.model_copy(update={"subscription_id": subscription_id}))
        self._heard_until[subscription_id] = activity.page.cursor
        self._tallies[subscription_id] = activity.tally
