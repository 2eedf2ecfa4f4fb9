"""The followers of the subscriptions: each keeps one subscription running, and its report young. A
subscription that has nothing to do for long falls asleep, and comes up again for whoever needs it.

A follower has one long poll: the subscription answers as soon as something changed, or after a
heartbeat, as time alone changes a report too. That of one that sleeps is made here (``sleepers``).

One task for each subscription, its follower, decides whether it sleeps, falls asleep or comes up,
so no two of these can cross. Whoever calls a subscription that is gone, or going, is not refused:
the call waits until the subscription is up again (``wake``), and is made then.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter

from actors.aiokit import Keyed, News, end, every, forwarded
from actors.interfaces.protocols import SubscriptionActors
from actors.router.presence.activation_queue import ActivationQueue
from actors.router.presence.activities import Activities
from actors.router.presence.first_reports import FirstReports
from actors.router.presence.idleness import KEPT_UP, until_it_sleeps, until_it_turns
from actors.router.presence.latest_reports import LatestReports, ReportReader
from actors.router.presence.losses import Losses, lost
from actors.router.presence.releases import Releases
from actors.router.presence.renewals import Renewals
from actors.router.presence.rest import Rest
from actors.router.presence.sleepers import Sleepers
from pool.errors import ActorLost, ConfigError
from pool.subscriptions.report import Report
from pool.subscriptions.spec import SubscriptionSpec
from pool.telemetry.counters import Tally
from pool.telemetry.events import PoolEvent

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
MADE_AT_ONCE = 50
"""Reports of sleepers that are made in one go, before others have their turn: 20 ms of a core."""
POLL_SPACING_SECONDS = 0.02
"""Between two polls of one subscription, so that a burst of changes costs one report."""
PATIENCE_SECONDS = 2.0
"""Before a subscription that does not answer is activated again."""
UNUSABLE_SECONDS = 5.0
"""Before a subscription that cannot come up as it is configured is tried again: what it lacks may
be there by then."""


class Followers:
    """The subscriptions that are followed, and the latest report of each."""

    def __init__(
        self,
        actors: SubscriptionActors,
        sleepers: Sleepers,
        clock: Callable[[], datetime],
        tell: Callable[[PoolEvent], None] = lambda _: None,
        last_known: Callable[[SubscriptionSpec], Awaitable[Report | None]] | None = None,
        *,
        activations_at_once: int = 4,
        idle: timedelta = timedelta(0),
        released_after: timedelta = timedelta(minutes=5),
    ) -> None:
        """``idle``: how long a subscription has nothing to do before it falls asleep; 0: never."""
        self._actors = actors
        self._sleepers = sleepers
        self._last_known = last_known
        self._clock = clock
        self._idle = idle
        self._alone = Keyed(asyncio.Lock)
        """By subscription: its actor is started, renewed, released or ended by one at a time."""
        self._is_suspended = False
        self._on_their_way: Counter[str] = Counter()
        """How many requests are on their way, by the subscription that they are sent to."""
        self._losses = Losses()
        self._releases = Releases(actors, clock, released_after)
        actors.tell_of_losses(self.lost)
        self._activities = Activities(tell)
        self._queue = ActivationQueue(activations_at_once)
        self._renewals = Renewals(self._renew)
        self._failed: dict[str, Exception] = {}
        """Why a subscription could not be activated, by id, until it has sent a report."""
        self._specs: dict[str, SubscriptionSpec] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._news = News()
        self._rest = Rest(self._queue, self._news)
        self._latest = LatestReports(self._news, self._activities.tell)
        self._reports = self._latest.by_id
        self._first = FirstReports(
            *(self._specs, self._reports, self._failed), news=self._news, want=self.want
        )

    @property
    def reports(self) -> tuple[Report, ...]:
        """The latest reports, by id. Some may be missing right after a start."""
        return self._latest.all

    @property
    def tallies(self) -> dict[str, Tally]:
        """The latest counts, by subscription."""
        return self._activities.tallies

    @property
    def followed(self) -> AbstractSet[str]:
        """The ids of all subscriptions that are followed, as they are now."""
        return self._specs.keys()

    @property
    def known(self) -> frozenset[str]:
        """The ids of the subscriptions that have sent a report, and can be up."""
        return frozenset((self._specs.keys() - self.unheard) - self.unusable.keys())

    @property
    def unheard(self) -> frozenset[str]:
        """The ids of the subscriptions that have sent no report."""
        return frozenset(self._specs.keys() - self._latest.heard)

    def add_reader(self, reader: ReportReader) -> None:
        """See ``LatestReports.add_reader``."""
        self._latest.add_reader(reader)

    @property
    def unusable(self) -> dict[str, ConfigError]:
        """The subscriptions that cannot come up as they are configured, by id, and why not."""
        return self._first.unusable

    @property
    def resting(self) -> frozenset[str]:
        """The ids of the subscriptions that sleep, fall asleep, or come up from sleep."""
        return self._rest.ids

    @property
    def coming(self) -> frozenset[str]:
        """The ids of the subscriptions that come up or wait for their turn, but for lost ones."""
        there = {id_ for id_, report in self._reports.items() if report.presence != "asleep"}
        return frozenset(self._specs) - self._sleepers.ids - self.unusable.keys() - there

    @property
    def room(self) -> int:
        """How many more subscriptions may be up that nobody asks for; negative: so many fewer."""
        return KEPT_UP - (len(self._specs) - len(self._rest)) if self._idle else sys.maxsize

    def follow(self, spec: SubscriptionSpec) -> None:
        """Keep this subscription running with this specification, or asleep if it sleeps. Where it
        ran with another specification, a report of that which is still on its way is dropped.
        """
        self._specs[spec.id] = spec
        self._rest.follow(spec.id)
        if spec.id in self._sleepers:
            self._rest.begin(spec.id)
            self.remember(self._sleepers.report(spec))
        if spec.id not in self._tasks:
            following = every(
                *(0, partial(self._follow, spec.id), "subscription does not answer"),
                after_failure=PATIENCE_SECONDS,
                subscription_id=spec.id,
            )
            self._tasks[spec.id] = asyncio.create_task(following)

    async def unfollow(self, subscription_id: str) -> None:
        """Follow a subscription no more; its actor is not ended by this."""
        task = self._tasks.pop(subscription_id, None)
        if task is not None:
            await end([task])
        self._specs.pop(subscription_id, None)
        self._sleepers.forget(subscription_id)
        self._rest.forget(subscription_id)
        self._failed.pop(subscription_id, None)
        self._losses.forget(subscription_id)
        self._releases.forget(subscription_id)
        await self._renewals.leave(subscription_id)
        self._queue.forget(subscription_id)
        self._activities.forget(subscription_id)
        self._latest.forget(subscription_id)

    async def suspend(self) -> None:
        """Follow no more the subscriptions that have sent no report, or cannot come up: they do not
        any more. Those that sleep take nothing new.
        """
        self._is_suspended = True
        self._sleepers.suspend()
        await self.refresh(timedelta(0))
        absent = self._specs.keys() - self.known
        await asyncio.gather(*map(self.unfollow, absent))  # at once: one's turn is not another's

    def known_report(self, subscription_id: str) -> Report | None:
        """The latest report of a subscription; None where it has sent none."""
        return self._reports.get(subscription_id)

    def remember(self, report: Report) -> None:
        """Keep a report that came with an answer."""
        is_released = report.id in self._releases.under_way
        if report.id in self._specs and self._latest.would_be(report) and not is_released:
            self._failed.pop(report.id, None)
            self._latest.hear(report)

    def sent(self, subscription_id: str, more: int) -> None:
        """``more`` requests are on their way to a subscription: it stays awake for them."""
        self._on_their_way[subscription_id] += more
        if not self._on_their_way[subscription_id]:
            del self._on_their_way[subscription_id]

    def lost(self, subscription_id: str, *why: str) -> None:
        """An actor did not answer: unless it rests, nobody is sent there until it reports again."""
        known = self._reports.get(subscription_id)
        if known is None or subscription_id in self._rest:
            return
        self._losses.note(subscription_id)
        if known.presence != "away" or why:
            self._latest.show(lost(known, *why))

    async def refresh(self, older_than: timedelta) -> None:
        """Make the reports of the subscriptions that sleep anew, where they are older than this."""
        for made, subscription_id in enumerate(tuple(self._sleepers.ids), start=1):
            spec, known = self._specs.get(subscription_id), self._reports.get(subscription_id)
            is_old = known is None or self._clock() - known.observed_at >= older_than
            if spec is not None and subscription_id in self._sleepers and is_old:
                self.remember(self._sleepers.report(spec))
            if made % MADE_AT_ONCE == 0:
                await asyncio.sleep(0)

    @asynccontextmanager
    async def asleep(self, subscription_id: str) -> AsyncIterator[bool]:
        """Whether a subscription has no actor, because it sleeps or cannot come up; where it has
        none, it gets none within the block. A subscription that cannot come up may be letting go of
        what it has (``releases``): this waits for that.
        """
        async with self._alone[subscription_id]:
            yield subscription_id in self._sleepers or subscription_id in self.unusable

    def want(self, subscription_id: str) -> None:
        """Have a subscription come up before those that nobody asks for, if it is not there yet."""
        if subscription_id in self._specs.keys() - self._reports.keys():
            self._queue.want(subscription_id)

    wake = forwarded(attrgetter("_rest"), Rest.wake)
    await_any = forwarded(attrgetter("_first"), FirstReports.await_any)
    await_one = forwarded(attrgetter("_first"), FirstReports.await_one)
    await_enough = forwarded(attrgetter("_first"), FirstReports.await_enough)
    await_all = forwarded(attrgetter("_first"), FirstReports.await_all)

    async def close(self) -> None:
        await self._renewals.close()
        for subscription_id in tuple(self._tasks):
            await self.unfollow(subscription_id)

    async def _follow(self, subscription_id: str) -> float | None:
        """Activate a subscription and ask for its reports, until it has to be given its
        specification again: because that has changed, or because the activation is another one than
        before, which Ray made with the specification of the actor's beginning.
        """
        if subscription_id in self._sleepers and self._idle:
            await self._rest.wanted(subscription_id)
        spec, has_slept = self._specs[subscription_id], subscription_id in self._rest
        try:
            await self._activate(spec)
        except ConfigError as error:
            await self._without_a_place(spec, error)
            return UNUSABLE_SECONDS
        epoch, version, wait_seconds, up_since = -1, -1, HEARTBEAT_SECONDS, self._clock()
        while True:
            peer = self._actors.subscription(spec.id)
            asking = peer.next_report(epoch, version, wait_seconds)
            report = await self._told(spec.id, asking, wait_seconds)
            if (report.epoch, report.version) != (epoch, version):  # else it has nothing to tell
                if has_slept and epoch == -1:  # what the one before told is complete
                    self._activities.begins_anew(spec.id, report.epoch)
                await self._activities.hear(spec.id, peer)
            if self._specs[spec.id] != spec:
                return None
            self.remember(report)
            if epoch not in {-1, report.epoch}:
                return None
            if self._idle:
                await self._sleepers.is_awake(report.id, report.epoch)
            epoch, version = report.epoch, report.version
            until_it_sleeps = self._until_it_sleeps(report, up_since)
            if until_it_sleeps <= 0 and await self._fall_asleep(spec):
                return None
            moments = (until_it_sleeps, until_it_turns(report, self._clock()))
            wait_seconds = min((HEARTBEAT_SECONDS, *(each for each in moments if each > 0)))
            await asyncio.sleep(POLL_SPACING_SECONDS)

    async def _told(
        self, subscription_id: str, asking: Awaitable[Report], seconds: float
    ) -> Report:
        """The report that is asked for; ``ActorLost`` where none comes."""
        self._losses.follow(subscription_id)
        try:
            return await self._losses.answer(subscription_id, asking, seconds)
        except ActorLost:
            self.lost(subscription_id)
            raise

    def _until_it_sleeps(self, report: Report, up_since: datetime) -> float:
        """Seconds; infinite while requests are on their way to it, and where none is to sleep."""
        if not self._idle or self._is_suspended or self._on_their_way[report.id]:
            return math.inf
        now, too_many = self._clock(), self.room < 0
        return until_it_sleeps(report, up_since, now, self._idle, is_one_too_many=too_many)

    async def _fall_asleep(self, spec: SubscriptionSpec) -> bool:
        """Have a subscription fall asleep; whether its actor has left. It may have been given
        something in the last moment: then it does not sleep, and is brought up again.
        """
        async with self._alone[spec.id]:
            self._rest.begin(spec.id)
            try:
                left = await self._actors.fall_asleep(spec.id, self._activities.cursor(spec.id))
                if left is None:
                    return False
                self._activities.take_over(spec.id, left.activity)
                if await self._sleepers.sleeps(spec.id, left.snapshot):
                    self.remember(self._sleepers.report(self._specs[spec.id]))
                return True
            finally:
                if spec.id not in self._sleepers:
                    self._rest.end(spec.id)
                self._news.tell()

    async def _activate(self, spec: SubscriptionSpec) -> None:
        """Bring a subscription up in its turn, which comes first for one that was there before."""
        if spec.id in self._reports:
            self._queue.want(spec.id)
        try:
            if spec.id in self.unusable:  # before its turn: to ask the nodes may take long
                await self._check_place(spec)
            async with self._queue.turn(spec.id), self._alone[spec.id]:
                await self._sleepers.wakes(spec.id)
                is_outdated = await self._actors.activate(spec)
                if self._is_suspended:
                    await self._actors.subscription(spec.id).suspend()
        except Exception as error:
            if isinstance(error, ConfigError):
                await self._cannot_come_up(spec, error)
            self._failed[spec.id] = error
            self._news.tell()
            raise
        self._releases.forget(spec.id)
        if is_outdated:
            self._renewals.add(spec.id)
        self._rest.is_up(spec.id)
        self._news.tell()

    async def _check_place(self, spec: SubscriptionSpec) -> None:
        nowhere = await self._actors.unplaced([spec])
        if spec.id in nowhere:
            raise nowhere[spec.id]

    async def _without_a_place(self, spec: SubscriptionSpec, error: ConfigError) -> None:
        async with self._alone[spec.id]:
            if not self._is_suspended:
                await self._releases.consider(spec, error, self._reports.get(spec.id))

    async def _cannot_come_up(self, spec: SubscriptionSpec, error: ConfigError) -> None:
        """Note why a subscription cannot come up, log each reason once, and end waits for it."""
        is_news, found = str(error) != str(self.unusable.get(spec.id)), None
        if spec.id not in self._reports and self._last_known is not None:
            async with self._alone[spec.id]:
                found = await self._last_known(spec)
        self._rest.end(spec.id)
        self._failed[spec.id] = error
        if found is not None:
            self._latest.show(lost(found, str(error)))
        elif is_news:
            self.lost(spec.id, str(error))
        if is_news:
            ids = {"subscription_id": spec.id, "problem": str(error)}
            log.warning("subscription cannot come up as it is configured", extra=ids)

    async def _renew(self, subscription_id: str) -> None:
        """Renew a subscription's actor; one that has fallen asleep meanwhile comes up renewed."""
        async with self._alone[subscription_id]:
            if subscription_id not in self._sleepers:
                await self._actors.renew(self._specs[subscription_id])
