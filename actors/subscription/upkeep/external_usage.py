"""A subscription's use outside the pool: found in its transcripts, and counted where it belongs.

Every minute the subscription reads what was added to the transcripts of its config directory. An
answer that is not the pool's becomes a record of the source ``outside``, at the time of the answer;
so it counts in the week and in its block, and whatever else tells of the same call adds nothing
(``pool.claude.transcripts.calls``). An answer shows several times, so it is counted when no more
was seen of it for a while, with the largest of each count. Its price is what the subscription's own
runs teach; as long as nobody knows it, which goes for all that is answered in fast mode, the answer
is held back and not counted as free: it waits a week, and the log says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from actors.aiokit import every
from actors.subscription.context import SubscriptionContext
from pool.claude.transcripts.calls import PREFIX, KnownCalls
from pool.claude.transcripts.external_files import ExternalFiles
from pool.claude.transcripts.external_usage import ExternalAnswer
from pool.claude.transcripts.sighting import Sighting
from pool.storage.paging import MAX_LIMIT
from pool.usage.model_names import base_name
from pool.usage.prices import EstimatedCost, LearnedPrices
from pool.usage.records import Call, Retraction, Usage, UsageRecord, UsageSource
from pool.usage.retraction import MOST_AT_ONCE, UsageToRetract, of_period
from pool.usage.spending import WEEK

log = logging.getLogger(__name__)

SCAN_SECONDS = 60.0
QUIET = timedelta(minutes=2)
"""After that no more is written of an answer: the CLI writes its entries when it has ended."""
MOST_WAITING = 20_000
"""Answers that are held in memory, the newest."""
_BATCH = "batch"


class ExternalUsage:
    """What somebody else uses of a subscription."""

    def __init__(self, context: SubscriptionContext) -> None:
        self._context = context
        self._files = ExternalFiles()
        self._waiting: dict[str, ExternalAnswer] = {}
        self._known: KnownCalls | None = None
        self._counting = asyncio.Lock()
        self.unpriced: frozenset[str] = frozenset()
        """Models of answers that are held back, since nobody knows their price."""

    async def watch(self) -> None:
        """Look, for as long as this activation lasts."""
        await every(SCAN_SECONDS, self.look, "usage outside the pool was not read")

    async def look(self) -> None:
        """Read what was added, and count what is complete and has a price."""
        context, now = self._context, self._context.now()
        if self._known is not None:
            self._known.forget(now - WEEK)
        config_dir = context.deps.environment(context.state.spec).get("CLAUDE_CONFIG_DIR")
        if config_dir is None:
            return
        for seen in await asyncio.to_thread(self._files.read, Path(config_dir), now - WEEK):
            id_ = seen.sighting.message_id
            known = self._waiting.get(id_)
            self._waiting[id_] = seen if known is None else known.and_also(seen)
        self._forget(now)
        unpriced: set[str] = set()
        for id_, seen in tuple(self._waiting.items()):
            if seen.at + QUIET > now:
                continue
            cost = estimated(context.state.rates, seen)
            record = _record(context.state.spec.id, seen, cost.usage)
            if cost.unpriced and not await self._is_counted(record):
                unpriced.update(cost.unpriced)
                continue
            await self.count(record)
            self._waiting.pop(id_, None)
        self._tell(frozenset(unpriced))

    async def count(self, record: UsageRecord) -> bool:
        """Count a call; False where it was counted when something else showed it."""
        context = self._context
        async with self._counting:
            known = await self._known_calls()
            if known.take(record):
                return False
            added = await context.ledger.record(record)
            known.add(record)
        if added:
            context.state.spend(record)
            context.recorder.recorded(record)
            context.changed()
        return added

    async def retract(
        self, wanted: UsageToRetract, by: str
    ) -> tuple[tuple[UsageRecord, ...], bool]:
        """Take back what was counted; the records that take it away, and whether there is more.
        Whatever tells of it again adds nothing: its calls stay known.
        """
        context, now = self._context, self._context.now()
        ids, more = (wanted.ids, False) if wanted.ids else await self._ids_of(wanted)
        notes = [Retraction(of=id_, at=now, by=by, reason=wanted.reason) for id_ in ids]
        async with self._counting:
            made = await context.ledger.retract(notes)
        for record in made:
            context.state.spend(record)
            context.recorder.recorded(record)
        if made:
            context.changed()
            ids_ = {"subscription_id": context.state.spec.id, "caller": by}
            log.info("usage taken back", extra={**ids_, "records": len(made)})
        return made, more

    async def _ids_of(self, wanted: UsageToRetract) -> tuple[Sequence[str], bool]:
        """The ids of a period's records that were not taken back yet, as many as one call takes."""
        ids: list[str] = []
        cursor = None
        while True:
            page = await self._context.ledger.usage(
                limit=MAX_LIMIT,
                cursor=cursor,
                since=wanted.since,
                until=wanted.until,
                source=wanted.source,
            )
            ids += of_period(page.items)
            cursor = page.next_cursor
            if cursor is None or len(ids) > MOST_AT_ONCE:
                return ids[:MOST_AT_ONCE], len(ids) > MOST_AT_ONCE

    async def _is_counted(self, record: UsageRecord) -> bool:
        async with self._counting:
            return (await self._known_calls()).take(record)

    async def _known_calls(self) -> KnownCalls:
        if self._known is None:
            self._known = KnownCalls([each async for each in self._counted()])
        return self._known

    async def _counted(self) -> AsyncIterator[UsageRecord]:
        """What earlier activations counted of the week."""
        since, cursor = self._context.now() - WEEK, None
        while True:
            page = await self._context.ledger.usage(
                limit=MAX_LIMIT, cursor=cursor, since=since, source=UsageSource.OUTSIDE
            )
            for record in page.items:
                if record.retraction is None:
                    yield record
            cursor = page.next_cursor
            if cursor is None:
                return

    def _forget(self, now: datetime) -> None:
        newest = sorted(self._waiting.values(), key=lambda seen: seen.at)[-MOST_WAITING:]
        self._waiting = {seen.sighting.message_id: seen for seen in newest if seen.at > now - WEEK}

    def _tell(self, unpriced: frozenset[str]) -> None:
        if unpriced - self.unpriced:
            log.warning(
                "usage outside the pool has no price yet",
                extra={
                    "subscription_id": self._context.state.spec.id,
                    "models": sorted(unpriced),
                    "waiting": len(self._waiting),
                },
            )
        self.unpriced = unpriced


def estimated(rates: LearnedPrices, seen: ExternalAnswer) -> EstimatedCost:
    """What an answer cost, by the prices that were learned under any name of its model. Half of it
    for a batch; what other terms change is not known.
    """
    model, sighting = seen.sighting.model, seen.sighting
    if sighting.terms not in ("", _BATCH):
        return _unpriced(sighting, f"{model} ({sighting.terms})")
    names = (model, *(name for name in rates.models if base_name(name) == base_name(model)))
    for name in names:
        of_name = Usage(models={name: sighting.usage})
        cost = rates.estimate(of_name, {name: sighting.hour_writes})
        if not cost.unpriced:
            charged = cost.usage.models[name].cost_nano_usd // (2 if sighting.terms else 1)
            tokens = sighting.usage.model_copy(update={"cost_nano_usd": charged})
            return cost.model_copy(update={"usage": Usage(models={model: tokens})})
    return _unpriced(sighting, model)


def _unpriced(sighting: Sighting, name: str) -> EstimatedCost:
    return EstimatedCost(usage=Usage(models={sighting.model: sighting.usage}), unpriced=(name,))


def _record(subscription_id: str, seen: ExternalAnswer, usage: Usage) -> UsageRecord:
    sighting = seen.sighting
    return UsageRecord(
        id=f"{PREFIX}{sighting.message_id}",
        subscription_id=subscription_id,
        timestamp=seen.at,
        source=UsageSource.OUTSIDE,
        session_id=seen.session_id,
        call=Call(message_id=sighting.message_id, request_ids=tuple(sorted(sighting.request_ids))),
        usage=usage,
    )
