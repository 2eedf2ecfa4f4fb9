"""Newcomers: subscriptions that are registered and were never activated.

The first few come up as they are registered, so that a person sees at once which are signed in. Of
hundreds, the others sleep from the beginning: so a start costs no more than with ten. They have no
records, so nothing is missing in their reports. Whether they can be placed is asked for all of them
at once; a subscription that cannot is activated all the same, so that it fails with its reason
where everybody sees it. The others come up for their first look later, as every subscription that
sleeps does once a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.interfaces.protocols import SubscriptionActors
from actors.router.presence.followers import Followers
from actors.router.presence.sleepers import Sleepers
from pool.errors import ConfigError
from pool.storage.stores import Stores
from pool.subscriptions.spec import SubscriptionSpec


class Newcomers:
    """Has those newcomers sleep for which there is no room."""

    def __init__(
        self, stores: Stores, actors: SubscriptionActors, followers: Followers, sleepers: Sleepers
    ) -> None:
        self._stores = stores
        self._actors = actors
        self._followers = followers
        self._sleepers = sleepers

    async def settle(self, specs: Sequence[SubscriptionSpec]) -> Mapping[str, ConfigError]:
        """Before subscriptions are followed, have those begin asleep that have no ledger and for
        which there is no room. Returns those of them that can be placed nowhere, by id, and why.
        """
        if len(specs) <= self._followers.room:  # of those that never sleep there is no end
            return {}
        known = set(await self._stores.ledgers())
        new = [each for each in specs if each.id not in known and each.id not in self._sleepers]
        coming = sum(each.id not in self._sleepers for each in specs) - len(new)
        waiting = new[max(0, self._followers.room - coming) :]
        if not waiting:
            return {}
        nowhere = await self._actors.unplaced(waiting)
        for each in waiting:
            if each.id not in nowhere:
                self._sleepers.begin(each.id)
        return nowhere
