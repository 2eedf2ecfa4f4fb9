"""The router's watch over the subscriptions: it keeps each running, and its report young.

One long poll a subscription: the owner answers as soon as something changed, or after a heartbeat,
because time alone changes a report too (blocks, resets, expiries). A report says when it was made;
the newer of two counts, whichever way it came.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

from actors.aiokit import News, end, every
from actors.interfaces.protocols import SubscriptionActor, SubscriptionActors
from actors.router.presence.activations import ActivationQueue
from actors.router.presence.renewals import Renewals
from actors.telemetry.event_log import MOST_AT_ONCE
from pool.subscriptions.report import Report
from pool.subscriptions.spec import SubscriptionSpec
from pool.telemetry.counters import Tally
from pool.telemetry.events import PoolEvent, changes

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
POLL_SPACING_SECONDS = 0.02
"""Between two polls of one subscription, so that a burst of changes costs one report."""
PATIENCE_SECONDS = 2.0
"""Before a subscription that does not answer is activated again."""
EVERYBODY_SECONDS = 3.0
"""How long a list waits for those who are missing in it: a router that was started again hears of
everybody within a second."""
FIRST_REPORT_SECONDS = 20.0
"""How long to wait for one that never sent a report: an activation takes a few seconds, and
begins with the next free turn where somebody waits for it."""


class ReportCache:
    """The subscriptions that are followed, and the latest report of each."""

    def __init__(
        self,
        actors: SubscriptionActors,
        tell: Callable[[PoolEvent], None] = lambda _: None,
        activations_at_once: int = 4,
    ) -> None:
        self._actors = actors
        self._tell = tell
        self._queue = ActivationQueue(activations_at_once)
        self._renewals = Renewals(self._renew)
        self._failed: dict[str, Exception] = {}
        """Those that could not be activated and have sent no report since, and why."""
        self._specs: dict[str, SubscriptionSpec] = {}
        self._reports: dict[str, Report] = {}
        self._tallies: dict[str, Tally] = {}
        self._heard_until: dict[str, str] = {}
        """The cursor of each owner's news."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._news = News()

    @property
    def reports(self) -> tuple[Report, ...]:
        """The latest reports, by id. Some may be missing right after a start."""
        return tuple(self._reports[id_] for id_ in sorted(self._reports))

    @property
    def tallies(self) -> dict[str, Tally]:
        """The latest counts, by id."""
        return dict(sorted(self._tallies.items()))

    @property
    def followed(self) -> frozenset[str]:
        """The ids of everybody who is to run."""
        return frozenset(self._specs)

    @property
    def known(self) -> frozenset[str]:
        """The ids of all that have sent a report."""
        return frozenset(self._reports)

    def follow(self, spec: SubscriptionSpec) -> None:
        """Keep this subscription running with this specification. Where it ran with another one,
        no report of that is believed any more that is on its way.
        """
        self._specs[spec.id] = spec
        if spec.id not in self._tasks:
            following = every(
                *(0, partial(self._follow, spec.id), "subscription does not answer"),
                after_failure=PATIENCE_SECONDS,
                subscription_id=spec.id,
            )
            self._tasks[spec.id] = asyncio.create_task(following)

    async def unfollow(self, subscription_id: str) -> None:
        """Let go of a subscription; it is not ended by this."""
        task = self._tasks.pop(subscription_id, None)
        if task is not None:
            await end([task])
        self._specs.pop(subscription_id, None)
        self._failed.discard(subscription_id)
        await self._renewals.leave(subscription_id)
        self._queue.forget(subscription_id)
        for known in (self._reports, self._tallies, self._heard_until):
            known.pop(subscription_id, None)

    async def leave_unheard(self) -> None:
        """Let go of those who were not heard of: they do not come up any more."""
        unheard = self._specs.keys() - self._reports.keys()
        await end(self._tasks[id_] for id_ in unheard)  # at once: one's turn is not another's
        for subscription_id in unheard:
            await self.unfollow(subscription_id)

    def remember(self, report: Report) -> None:
        """Keep a report that came with an answer."""
        known = self._reports.get(report.id)
        if report.id in self._specs and (known is None or _order(known) <= _order(report)):
            self._reports[report.id] = report
            self._failed.discard(report.id)
            for happening in changes(known, report) if known is not None else ():
                self._tell(happening)
            self._news.tell()

    def want(self, subscription_id: str) -> None:
        """Have a subscription come up before those that nobody asks for, if it is not there yet."""
        if subscription_id in self._specs.keys() - self._reports.keys():
            self._queue.want(subscription_id)

    async def report(self, subscription_id: str) -> Report | None:
        """The latest report, waiting for the first one if there is none; None if it stays away."""
        await self.await_one({subscription_id})
        return self._reports.get(subscription_id)

    async def await_one(self, ids: Iterable[str]) -> None:
        """Wait until one of them has sent a report, within bounds; at once as a rule, and where
        none of them is to run, or can. One that is named alone goes before others.
        """
        wanted = self._specs.keys() & set(ids)
        if len(wanted) == 1:
            self.want(*wanted)
        await self._until(
            lambda: not wanted or not wanted.isdisjoint(self._reports), FIRST_REPORT_SECONDS
        )

    async def await_enough(self, is_enough: Callable[[], bool]) -> None:
        """Wait until what is known is enough for somebody: as long as there are some who come up
        and have sent no report yet, within bounds, and a moment for those who are away.
        """
        if is_enough():
            return
        await self._news.until(lambda: is_enough() or not self._coming, FIRST_REPORT_SECONDS)
        if not is_enough():
            await self.await_all()

    @property
    def _coming(self) -> bool:
        return not self._specs.keys() <= self._reports.keys() | self._failed

    async def await_all(self) -> tuple[str, ...]:
        """Wait until everybody has been heard of, within bounds; who has not been, even so."""
        await self._until(lambda: self._specs.keys() <= self._reports.keys(), EVERYBODY_SECONDS)
        return tuple(sorted(self._specs.keys() - self._reports.keys()))

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        if not await self._news.until(condition, seconds):
            missing = sorted(self._specs.keys() - self._reports.keys())
            log.warning("subscriptions have sent no report", extra={"subscription_ids": missing})

    async def close(self) -> None:
        await self._renewals.close()
        for subscription_id in tuple(self._tasks):
            await self.unfollow(subscription_id)

    async def _follow(self, subscription_id: str) -> float | None:
        """Keep a subscription running, and ask for reports until it has to be given its
        specification: since that has changed, or since it is another activation than before, which
        was made with the one of its actor's first day.
        """
        spec = self._specs[subscription_id]
        await self._activate(spec)
        epoch, version = -1, -1
        while True:
            peer = self._actors.subscription(spec.id)
            report = await peer.next_report(epoch, version, HEARTBEAT_SECONDS)
            await self._hear(spec.id, peer)
            if self._specs[spec.id] != spec:
                return None
            self.remember(report)
            if epoch not in {-1, report.epoch}:
                return
            epoch, version = report.epoch, report.version
            await asyncio.sleep(POLL_SPACING_SECONDS)

    async def _activate(self, spec: SubscriptionSpec) -> None:
        """In its turn, which comes at once for one that was there before."""
        if spec.id in self._reports:
            self._queue.want(spec.id)
        try:
            async with self._queue.turn(spec.id):
                is_outdated = await self._actors.activate(spec)
        except Exception:
            self._failed.add(spec.id)
            self._news.tell()
            raise
        if is_outdated:
            self._renewals.add(spec.id)

    async def _renew(self, subscription_id: str) -> None:
        await self._actors.renew(self._specs[subscription_id])

    async def _hear(self, subscription_id: str, peer: SubscriptionActor) -> None:
        """Take over what an owner has to tell: one call, unless very much happened at once.

        Where this is its first report here, what was before is not shown again.
        """
        while True:
            activity = await peer.activity(self._heard_until.get(subscription_id))
            for told in activity.page.items:
                happening = told.happening
                self._tell(happening.model_copy(update={"subscription_id": subscription_id}))
            self._heard_until[subscription_id] = activity.page.cursor
            self._tallies[subscription_id] = activity.tally
            if len(activity.page.items) < MOST_AT_ONCE:
                return


def _order(report: Report) -> tuple[int, int, datetime]:
    return report.epoch, report.version, report.observed_at
