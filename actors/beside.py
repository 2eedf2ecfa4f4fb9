"""A seat's use beside the pool: found in its transcripts, and counted where it belongs.

Every minute the owner reads what was added to the transcripts of its config directory. An answer
that is not the pool's becomes a record of the source ``outside``, at the time of the answer, once
for its request; so it counts in the week and in its block, and whatever else tells of the same
request adds nothing. An answer is told several times, so it is counted when no more was told of it
for a while, with the largest of each count. Its price is what the seat's own runs teach; as long as
nobody knows it, the answer is held back and not counted as free: it waits a week, and the log says
so.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from pathlib import Path

from actors.life import Life
from pool.claude.beside import AnswerSeen
from pool.claude.beside_files import BesideFiles
from pool.claude.tokens import larger
from pool.errors import PoolError
from pool.model_name import base_name
from pool.rates import EstimatedCost, Rates
from pool.usage import Usage, UsageRecord, UsageSource
from pool.weekly import WEEK

log = logging.getLogger(__name__)

SCAN_SECONDS = 60.0
QUIET = timedelta(minutes=2)
"""After that no more is told of an answer: the CLI writes its entries when it has ended."""
MOST_WAITING = 20_000
"""Answers that are held in memory, the newest."""


class Beside:
    """What somebody else uses of a seat."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._files = BesideFiles()
        self._waiting: dict[str, AnswerSeen] = {}
        self.unpriced: frozenset[str] = frozenset()
        """Models of answers that are held back, since nobody knows their price."""

    async def watch(self) -> None:
        """Look, for as long as this life lasts."""
        while True:
            try:
                await self.look()
            except (PoolError, OSError) as error:
                log.warning("usage beside the pool was not read", extra={"problem": str(error)})
            await asyncio.sleep(SCAN_SECONDS)

    async def look(self) -> None:
        """Read what was added, and count what is complete and has a price."""
        life, now = self._life, self._life.now()
        config_dir = life.given.environment(life.state.spec).get("CLAUDE_CONFIG_DIR")
        if config_dir is None:
            return
        for seen in await asyncio.to_thread(self._files.read, Path(config_dir), now - WEEK):
            known = self._waiting.get(seen.id)
            self._waiting[seen.id] = seen if known is None else _merged(known, seen)
        self._forget(now)
        unpriced: set[str] = set()
        for id_, seen in tuple(self._waiting.items()):
            if seen.at + QUIET > now:
                continue
            cost = estimated(life.state.rates, seen)
            if cost.unpriced:
                unpriced.add(seen.sighting.model)
                continue
            await self._count(seen, cost.usage)
            self._waiting.pop(id_, None)
        self._tell(frozenset(unpriced))

    async def _count(self, seen: AnswerSeen, usage: Usage) -> None:
        life = self._life
        record = UsageRecord(
            id=f"outside:{seen.id}",
            subscription_id=life.state.spec.id,
            timestamp=seen.at,
            source=UsageSource.OUTSIDE,
            session_id=seen.session_id,
            usage=usage,
        )
        if await life.ledger.record(record):
            life.state.spend(record)
            life.chronicle.recorded(record)
            life.changed()

    def _forget(self, now: datetime) -> None:
        newest = sorted(self._waiting.values(), key=lambda seen: seen.at)[-MOST_WAITING:]
        self._waiting = {seen.id: seen for seen in newest if seen.at > now - WEEK}

    def _tell(self, unpriced: frozenset[str]) -> None:
        if unpriced - self.unpriced:
            log.warning(
                "usage beside the pool has no price yet",
                extra={
                    "subscription_id": self._life.state.spec.id,
                    "models": sorted(unpriced),
                    "waiting": len(self._waiting),
                },
            )
        self.unpriced = unpriced


def estimated(rates: Rates, seen: AnswerSeen) -> EstimatedCost:
    """What an answer cost, by the prices that were learned under any name of its model."""
    model, tokens = seen.sighting.model, seen.sighting.usage
    names = (model, *(name for name in rates.models if base_name(name) == base_name(model)))
    for name in names:
        cost = rates.estimate(Usage(models={name: tokens}))
        if not cost.unpriced:
            usage = Usage(models={model: cost.usage.models[name]})
            return cost.model_copy(update={"usage": usage})
    return EstimatedCost(usage=Usage(models={model: tokens}), unpriced=(model,))


def _merged(known: AnswerSeen, seen: AnswerSeen) -> AnswerSeen:
    usage = larger(known.sighting.usage, seen.sighting.usage)
    sighting = known.sighting.model_copy(update={"usage": usage})
    return known.model_copy(update={"sighting": sighting})
