"""What is shown of all subscriptions at once: the list, the overview, the nodes, the figures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from actors.interfaces.protocols import SubscriptionActors
from actors.router.presence.followers import Followers
from actors.router.subscription_page import shown_page
from actors.telemetry.recorder import PoolRecorder
from pool.keys.access import FULL_ACCESS, Access
from pool.nodes.overview import NodeList, node_list
from pool.subscriptions.overview.pool_overview import Overview, overview
from pool.subscriptions.report import Report
from pool.telemetry.counters import Figures, only
from pool.telemetry.exposition import of_pool
from pool.telemetry.percentiles import latencies

SHOWN_AGE = timedelta(seconds=5)
"""Of a report of one that sleeps, at most, where all are shown: as old as others may be."""


class Overviews:
    """Made of the latest reports and counts; ``RouterActor`` says what each is."""

    def __init__(
        self,
        actors: SubscriptionActors,
        followers: Followers,
        recorder: PoolRecorder,
        clock: Callable[[], datetime],
    ) -> None:
        self._actors = actors
        self._followers = followers
        self._recorder = recorder
        self._clock = clock

    async def subscriptions(self) -> tuple[Report, ...]:
        await self._followers.refresh(SHOWN_AGE)
        await self._followers.await_all()
        return self._followers.reports

    async def shown_subscriptions(
        self, access: Access = FULL_ACCESS, *, limit: int | None = None, cursor: str | None = None
    ) -> str:
        return shown_page(await self.subscriptions(), access, limit, cursor)

    async def heard_from(self) -> int:
        return len(self._followers.known)

    async def pool(self, access: Access = FULL_ACCESS) -> Overview:
        await self._followers.refresh(SHOWN_AGE)
        await self._followers.await_all()
        unheard = tuple(sorted(filter(access.covers_subscription, self._followers.unheard)))
        reports = [each for each in self._followers.reports if access.covers_subscription(each.id)]
        tallies = self._followers.tallies
        counted = [tallies[each.id] for each in reports if each.id in tallies]
        latency = latencies([self._recorder.tally, *counted])
        return overview(reports, self._clock(), unheard, latency)

    async def nodes(self) -> NodeList:
        known = await self._actors.nodes()
        unusable = {id_: str(error) for id_, error in self._followers.unusable.items()}
        return node_list(known, self._followers.reports, unusable)

    async def figures(self) -> Figures:
        await self._followers.refresh(SHOWN_AGE)
        reports, unheard = self.heard()
        return Figures(
            reports=reports,
            tallies=self._followers.tallies,
            router=self._recorder.tally,
            unheard=tuple(sorted(unheard)),
            coming=self._followers.coming,
            unusable=frozenset(self._followers.unusable),
            observed_at=self._clock(),
        )

    async def shown_figures(
        self, access: Access = FULL_ACCESS, *, openmetrics: bool = False
    ) -> str:
        """Written here: to carry the figures of a thousand subscriptions to another process takes
        longer. Others have their turn between two pieces.
        """
        text = []
        for family in of_pool(only(await self.figures(), access.covers_subscription)):
            for piece in family.pieces(openmetrics=openmetrics):
                text.append(piece)
                await asyncio.sleep(0)
        return "".join(text)

    def heard(self) -> tuple[tuple[Report, ...], frozenset[str]]:
        """The latest reports, and the ids of those that have sent none."""
        return self._followers.reports, self._followers.unheard
