"""The durable rows of one subscription.

They are owned by one activation: opening a ledger raises its epoch and shuts every earlier
activation out; each transaction checks the epoch, and a stale one raises ``Fenced``. What a method
does to the rows stands in ``executions``, ``records`` and ``subscription``, and what must happen
together (T2, recovery, retention) stands here.

Executions are listed by ``created_at`` and id, and ``paging.cursor_of`` makes the cursor of each.
Lists are newest first; a cursor is opaque and stays valid while rows are added.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from pool.executions.row import ExecutionRow
from pool.executions.session import SessionTotal
from pool.executions.status import ExecutionStatus
from pool.keys.access import FULL_ACCESS, Access
from pool.limits.windows import RateLimitEvent
from pool.storage.database import Bindings, Database, Db, run_all
from pool.storage.documents import instant, micros, read_document
from pool.storage.ledger import executions, records, subscription
from pool.storage.ledger.export import exported_ledger, loading_ledger
from pool.storage.ledger.periods import PeriodRows, rows_between
from pool.storage.ledger.portion import LedgerPortion
from pool.storage.ledger.rows import WITH_CONTENT_AT_ONCE, kept_execution
from pool.storage.paging import (
    Page,
    blocks_below,
    executions_below,
    limits_below,
    page,
    usage_below,
)
from pool.subscriptions.consequences.settlement import Settlement
from pool.subscriptions.consequences.standing import Standing
from pool.subscriptions.recovery import Recovery
from pool.usage.periods import Period, begin
from pool.usage.records import Retraction, UsageRecord, UsageSource
from pool.usage.totals import BlockTotal

_EXPIRED_AT_ONCE = 1000
"""Rows of a kind that one transaction of retention removes: others get their turn in between."""


class Ledger:
    """The durable rows of one subscription, for the activation that opened it."""

    def __init__(self, subscription_id: str, database: Database) -> None:
        self.subscription_id = subscription_id
        self._database = database

    @property
    def epoch(self) -> int:
        return self._database.epoch

    @property
    def is_lost(self) -> bool:
        """Whether this activation can never write again: fenced, or a commit of unknown fate."""
        return self._database.lost.is_set()

    async def until_lost(self) -> None:
        """Wait until it is; for ever, as a rule."""
        await self._database.lost.wait()

    async def recover(self, since: datetime) -> Recovery:
        """Everything that activation needs; costs of records from ``since`` on."""
        return await self._database.read(lambda db: _recover(db, self.epoch, since), snapshot=True)

    async def begin(self, row: ExecutionRow) -> ExecutionRow:
        """T1: keep a new execution, queued or running. Known already: the row that is kept."""
        return await self._database.write(lambda db: executions.begin(db, row))

    async def update(self, row: ExecutionRow) -> None:
        """Replace an execution that has not ended (started, cancel requested).

        Raises ``NotFound`` for an unknown id and ``Conflict`` for one that has ended.
        """
        await self._database.write(lambda db: executions.update(db, row))

    async def settle(self, settlement: Settlement) -> bool:
        """T2: outcome, usage record, aggregates, windows, session and standing at once.

        False, and nothing written, where the execution had ended already (G3). A record whose id is
        known adds nothing, while the rest of the settlement is kept. Raises ``NotFound`` for an
        execution that never began.
        """
        return await self._database.write(lambda db: _settle(db, settlement))

    async def record(self, record: UsageRecord) -> bool:
        """Keep usage beside what executions settle. False, and nothing written, where the id is
        known. What is found of an execution after its end is added to its outcome, too.
        """
        return await self._database.write(lambda db: _record(db, record))

    async def retract(self, retractions: Sequence[Retraction]) -> tuple[UsageRecord, ...]:
        """Take usage from outside back, all of it or nothing; the records that take it away, of
        those that were not taken back before. ``NotFound`` for an unknown record,
        ``InvalidRequest`` for one that is not from outside.
        """

        async def work(db: Db) -> tuple[UsageRecord, ...]:
            made = [await records.retract(db, each) for each in retractions]
            return tuple(each for each in made if each is not None)

        return await self._database.write(work)

    async def stand(self, standing: Standing) -> None:
        await self._database.write(lambda db: subscription.stand(db, standing))

    async def execution(self, execution_id: str) -> ExecutionRow | None:
        return await self._database.read(lambda db: executions.find(db, execution_id))

    async def execution_of_call(self, call_id: str, tenant: str | None = None) -> str | None:
        """The id of the newest execution that made a call of its caller's tools; of a tenant's,
        where one is named. None for a call that nobody here made.
        """
        return await self._database.read(lambda db: executions.of_call(db, call_id, tenant))

    async def executions(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        status: ExecutionStatus | None = None,
        session_id: str | None = None,
        with_moved: bool = False,
        access: Access = FULL_ACCESS,
    ) -> Page[ExecutionRow]:
        """Those that ``access`` covers; those that went on elsewhere only where that is asked for.
        ``status`` is one that callers are shown: what is being handed on is found as ``queued``.
        """
        wanted = executions_below(
            limit, cursor, status, session_id, with_moved=with_moved, access=access
        )
        found = await self._found(*wanted)
        return page("executions", limit, found, lambda row: kept_execution(row[2:]))

    async def session(self, session_id: str) -> SessionTotal | None:
        return await self._database.read(lambda db: subscription.session(db, session_id))

    async def usage(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        source: UsageSource | None = None,
        tenant: str | None = None,
    ) -> Page[UsageRecord]:
        """Records with ``since <= timestamp < until``, of one source or of all, and of one tenant
        or of everybody.
        """
        wanted = usage_below(limit, cursor, since, until, source, tenant)
        found = await self._found("usage" if tenant is None else "usage_by_tenant", wanted)
        return page("usage", limit, found, lambda row: read_document(UsageRecord, row[2]))

    async def periods(
        self,
        since: datetime,
        until: datetime,
        periods: Iterable[Period],
        tenant: str | None,
        most: int,
    ) -> PeriodRows:
        """What there is of a range by totals of periods, see ``rows_between``."""
        return await self._database.read(
            lambda db: rows_between(db, since, until, periods, tenant, most), snapshot=True
        )

    async def count_records(self, since: datetime, until: datetime) -> int:
        """How many records with ``since <= timestamp < until`` are still kept, whose ever."""
        wanted = {"since": micros(since), "until": micros(until)}
        return int((await self._found("count_records", wanted))[0][0])

    async def blocks(self, *, limit: int, cursor: str | None = None) -> Page[BlockTotal]:
        wanted = blocks_below(limit, cursor)
        found = await self._database.read(lambda db: records.blocks(db, wanted), snapshot=True)
        return page("blocks", limit, found, lambda row: row[2])

    async def limits(self, *, limit: int, cursor: str | None = None) -> Page[RateLimitEvent]:
        found = await self._found("limits", limits_below(limit, cursor))
        return page("limits", limit, found, lambda row: read_document(RateLimitEvent, row[2]))

    async def observe(self, events: Sequence[RateLimitEvent]) -> None:
        """Keep what was learned of Anthropic's limits without a run."""
        await self._database.write(lambda db: subscription.observe(db, events))

    async def first_content(self) -> datetime | None:
        """When the first execution ended whose question and answer are kept; None without any."""
        ended_at = (await self._found("first_content", {}))[0][0]
        return None if ended_at is None else instant(ended_at)

    async def remove_content(self, ended_before: datetime, now: datetime) -> int:
        """Privacy: remove what was asked and answered by executions that ended before, so that it
        cannot be read from the store's files either; their number. All else that is kept of them
        stays, and a row that cannot be read goes as a whole. A few at a time, for each may be
        megabytes.
        """
        wanted = {"before": micros(ended_before), "limit": WITH_CONTENT_AT_ONCE}
        total = 0
        while ids := [row[0] for row in await self._found("with_content", wanted)]:
            await self._database.write(partial(executions.remove_content, ids=ids, now=now))
            total += len(ids)
        if total:
            await self._database.forget_removed()
        return total

    async def expire(self, before: datetime) -> int:
        """Retention: remove ended executions, records, limit events and idle sessions older than
        ``before``, in transactions of bounded size, and the totals of the periods of days before;
        block and lifetime totals stay. The number of usage records removed.
        """
        total, more = 0, True
        while more:
            removed, more = await self._database.write(lambda db: _expire_some(db, before))
            total += removed
        return total

    def export(self) -> AsyncIterator[LedgerPortion]:
        """Everything in it, in portions of bounded size and always in the same order."""
        return exported_ledger(self._found)

    async def load(self, portion: LedgerPortion) -> None:
        """Keep what another ledger exported, in one transaction.

        Raises ``StoreError``, and keeps nothing of the portion, where a row of it is there already.
        """
        await self._database.write(lambda db: run_all(db, loading_ledger(portion)))

    async def backup(self, file: Path) -> None:
        """See ``Database.backup``."""
        await self._database.backup(file)

    async def close(self) -> None:
        await self._database.close()

    async def _found(self, statement: str, wanted: Bindings) -> list[Any]:
        return await self._database.read(lambda db: db.rows(statement, wanted))


async def _settle(db: Db, settlement: Settlement) -> bool:
    if not await executions.settle(db, settlement.row):
        return False
    if settlement.record is not None:
        await records.add(db, settlement.record)
    if settlement.session is not None:
        await subscription.use_session(db, settlement.session)
    if settlement.standing is not None:
        await subscription.stand(db, settlement.standing)
    if settlement.limits:
        await subscription.observe(db, settlement.limits)
    return True


async def _record(db: Db, record: UsageRecord) -> bool:
    is_new = await records.add(db, record)
    if is_new and record.execution_id is not None:
        await executions.correct(db, record.execution_id, record.usage)
    return is_new


async def _recover(db: Db, epoch: int, since: datetime) -> Recovery:
    # The subscription's one row stands in a table of the name that earlier releases gave it: after
    # a migration none of them could read the store again, and for a word that is too much.
    standing, executions_ended, requested_at, session_id = await db.first("seat")
    # Built of what was validated when it was kept: 100k costs need not be looked at again.
    return Recovery.model_construct(
        epoch=epoch,
        costs=await records.costs_since(db, since),
        open=await executions.still_open(db),
        standing=Standing() if standing is None else read_document(Standing, standing),
        windows=await subscription.windows(db),
        totals=await records.lifetime(db, executions_ended),
        recent_costs=await records.recent_costs(db),
        last_session_id=session_id,
        last_request_at=None if requested_at is None else instant(requested_at),
        first_used_at=await records.first_used_at(db),
        uncertain=(await db.first("uncertain_executions"))[0],
    )


async def _expire_some(db: Db, before: datetime) -> tuple[int, bool]:
    """The number of usage records removed, and whether anything may be left to remove."""
    edge = {
        "before": micros(before),
        "before_day": micros(begin(Period.DAY, before)),
        "limit": _EXPIRED_AT_ONCE,
    }
    await db.run("expire_block_periods", edge)
    kinds = ("records", "periods", "executions", "limit_events", "sessions")
    removed = [await db.run(f"expire_{kind}", edge) for kind in kinds]
    return removed[0], max(removed) == _EXPIRED_AT_ONCE
