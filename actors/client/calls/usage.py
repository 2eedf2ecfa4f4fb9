"""Usage, as a client reports it, takes it back and sums it up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from actors.client.calls.view import PoolView
from actors.client.telemetry import count_telemetry
from actors.interfaces.subscription_actor import SubscriptionActor
from pool.claude.transcripts.telemetry import Export, Taken
from pool.keys.own_usage import OwnUsage, own_question, own_usage
from pool.money import usd
from pool.storage.paging import Page
from pool.usage.breakdown.breakdown import UsageBreakdown, breakdown
from pool.usage.breakdown.question import GroupBy, Grouping, Question, question
from pool.usage.reported import RecordedUsage, ReportedUsage, record_of
from pool.usage.retraction import RetractedUsage, UsageToRetract
from pool.usage.shown_usage import ShownRecord, shown_block, shown_record
from pool.usage.totals import BlockReport


class UsageCalls(PoolView):
    """What a client does with usage: that of the pool, and that which the pool did not see."""

    async def report_usage(self, subscription_id: str, reported: ReportedUsage) -> RecordedUsage:
        """Count usage that the pool did not see. The same id counts once."""
        record = record_of(subscription_id, reported, self._clock())
        added = await self._open_router(subscription_id).record(record)
        return RecordedUsage(record=shown_record(record), added=added)

    async def retract_usage(
        self, subscription_id: str, wanted: UsageToRetract, *, by: str = ""
    ) -> RetractedUsage:
        """Take back usage that the pool did not see: what was reported, found in transcripts or
        sent as telemetry. The same usage is not counted when it comes again.
        """
        retracted = await self._open_router(subscription_id).retract(subscription_id, wanted, by)
        return RetractedUsage(
            records=tuple(shown_record(each) for each in retracted.records),
            cost_usd=usd(-sum(each.usage.cost_nano_usd for each in retracted.records)),
            more=retracted.more,
        )

    async def report_telemetry(self, export: Export, subscription_id: str | None = None) -> Taken:
        """Count what Claude Code reports of its own requests, once each; those of the pool's own
        sessions are counted already. ``NotFound`` for a subscription that is named and not known;
        requests that name none, or one that is not known, are rejected.
        """
        if subscription_id is not None:
            await self._report(subscription_id)
        known = await self._known()
        return await count_telemetry(self._actors, export, subscription_id, known, self._clock())

    async def usage(
        self,
        subscription_id: str,
        *,
        limit: int = 50,
        cursor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Page[ShownRecord]:
        """Usage records with ``since <= timestamp < until``, newest first."""
        actor = await self._subscription_actor(subscription_id)
        page = await actor.usage(
            limit=limit, cursor=cursor, since=since, until=until, tenant=self._access.tenant
        )
        items = tuple(shown_record(each) for each in page.items)
        return Page[ShownRecord](items=items, next_cursor=page.next_cursor)

    async def usage_by(
        self,
        group_by: Sequence[GroupBy] = (Grouping.DAY,),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        subscription_id: str | None = None,
        by_totals: bool = False,
    ) -> UsageBreakdown:
        """The sums of the usage with ``since <= timestamp < until``, by up to three groupings: of
        the last seven days, where nothing else is said, and of every subscription. ``by_totals``
        adds up the totals of whole blocks instead of records, which costs the same however many
        these are. A grouping ``tag:KEY`` is by a key of the requests' metadata that ``pool.tags``
        names.

        ``InvalidRequest`` for more than 366 days, or more groups than one answer holds.
        """
        tenant = self._access.tenant
        asked = question(group_by, since, until, self._clock(), tenant, by_totals=by_totals)
        return await self._broken_down(asked, await self._ids(subscription_id))

    async def own_usage(self, *, caller: str = "") -> OwnUsage:
        """What the tenant of a key has used today, in this block and in seven days, by model, and
        what is left of the key's budgets; for whoever has no key, what everybody has used.
        """
        key, now = await self._router().key(caller), self._clock()
        tenant = self._access.tenant if key is None else key.belongs_to
        found = await self._broken_down(own_question(tenant, now), await self._ids(None))
        return own_usage(found, tenant, key, now)

    async def _broken_down(
        self, asked: Question, subscription_ids: Sequence[str]
    ) -> UsageBreakdown:
        resting = sorted(await self._router().asleep() & set(subscription_ids))
        awake = (self._actors.subscription(id_) for id_ in subscription_ids if id_ not in resting)
        tables = await asyncio.gather(*(actor.usage_by(asked) for actor in awake))
        if resting:
            tables += await self._router().resting_usage(asked, resting)
        return await asyncio.to_thread(breakdown, asked, tables)

    async def blocks(
        self, subscription_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[BlockReport]:
        """The blocks in which something was spent, newest first."""
        expected = (await self._report(subscription_id)).expected_block_usd
        page = await self._actors.subscription(subscription_id).blocks(limit=limit, cursor=cursor)
        items = tuple(shown_block(each, expected) for each in page.items)
        return Page[BlockReport](items=items, next_cursor=page.next_cursor)

    async def _subscription_actor(self, subscription_id: str) -> SubscriptionActor:
        """The actor of a subscription that exists; ``NotFound`` otherwise."""
        await self._report(subscription_id)
        return self._actors.subscription(subscription_id)
