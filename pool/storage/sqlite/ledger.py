"""The rows of one subscription in one SQLite file. See ``pool.storage.protocol.Ledger``.

Every method is one call to the store's thread; what it does to the rows stands in ``executions``,
``records`` and ``subscription``, and what must happen together (T2, recovery, retention) stands
here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from pool.executions.execution import ExecutionRow, ExecutionStatus
from pool.executions.session import SessionTotal
from pool.limits.windows import RateLimitEvent
from pool.storage.documents import instant, micros, read_document
from pool.storage.export import exported_ledger, loading_ledger
from pool.storage.paging import (
    Bindings,
    Page,
    blocks_below,
    executions_below,
    limits_below,
    page,
    usage_below,
)
from pool.storage.protocol import LedgerPortion
from pool.storage.rows import kept_execution
from pool.storage.sqlite import executions, records, subscription
from pool.storage.sqlite.commits import Commits
from pool.storage.sqlite.connection import copy_into
from pool.storage.sqlite.statements import first_row, run_all, statements
from pool.subscriptions.recovery import Recovery
from pool.subscriptions.settlement import Settlement
from pool.subscriptions.standing import Standing
from pool.usage.records import UsageRecord, UsageSource
from pool.usage.totals import BlockTotal

_SQL = statements("ledger")
_EXPIRED_AT_ONCE = 1000
"""Rows of a kind that one transaction of retention removes: others get their turn in between."""


def _settle(db: apsw.Connection, settlement: Settlement) -> bool:
    if not executions.settle(db, settlement.row):
        return False
    if settlement.record is not None:
        records.add(db, settlement.record)
    if settlement.session is not None:
        subscription.use_session(db, settlement.session)
    if settlement.standing is not None:
        subscription.stand(db, settlement.standing)
    if settlement.limits:
        subscription.observe(db, settlement.limits)
    return True


def _recover(db: apsw.Connection, epoch: int, since: datetime) -> Recovery:
    standing, executions_ended, requested_at, session_id = first_row(db, _SQL["seat"])
    # Built of what was validated when it was kept: 100k costs need not be looked at again.
    return Recovery.model_construct(
        epoch=epoch,
        costs=records.costs_since(db, since),
        open=executions.still_open(db),
        standing=Standing() if standing is None else read_document(Standing, standing),
        windows=subscription.windows(db),
        totals=records.lifetime(db, executions_ended),
        recent_costs=records.recent_costs(db),
        last_session_id=session_id,
        last_request_at=None if requested_at is None else instant(requested_at),
        first_used_at=records.first_used_at(db),
        uncertain=executions.uncertain(db),
    )


def _expire_some(db: apsw.Connection, before: datetime) -> tuple[int, bool]:
    """The number of usage records removed, and whether anything may be left to remove."""
    edge = {"before": micros(before), "limit": _EXPIRED_AT_ONCE}
    removed = []
    for kind in ("records", "executions", "limit_events", "sessions"):
        db.execute(_SQL[f"expire_{kind}"], edge)
        removed.append(db.changes())
    return removed[0], max(removed) == _EXPIRED_AT_ONCE


class SqliteLedger:
    """The durable rows of one subscription, for the activation that opened it."""

    def __init__(self, subscription_id: str, commits: Commits) -> None:
        self._subscription_id = subscription_id
        self._commits = commits

    @property
    def subscription_id(self) -> str:
        return self._subscription_id

    @property
    def epoch(self) -> int:
        return self._commits.epoch

    @property
    def is_lost(self) -> bool:
        return self._commits.is_lost

    async def recover(self, since: datetime) -> Recovery:
        return await self._commits.read(partial(_recover, epoch=self.epoch, since=since))

    async def begin(self, row: ExecutionRow) -> ExecutionRow:
        return await self._commits.write(partial(executions.begin, row=row))

    async def update(self, row: ExecutionRow) -> None:
        await self._commits.write(partial(executions.update, row=row))

    async def settle(self, settlement: Settlement) -> bool:
        """T2. Raises ``NotFound`` for an execution that never began."""
        return await self._commits.write(partial(_settle, settlement=settlement))

    async def record(self, record: UsageRecord) -> bool:
        return await self._commits.write(partial(records.add, record=record))

    async def stand(self, standing: Standing) -> None:
        await self._commits.write(partial(subscription.stand, standing=standing))

    async def execution(self, execution_id: str) -> ExecutionRow | None:
        return await self._commits.read(partial(executions.find, execution_id=execution_id))

    async def executions(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        status: ExecutionStatus | None = None,
        session_id: str | None = None,
        with_moved: bool = False,
    ) -> Page[ExecutionRow]:
        statement, wanted = executions_below(
            limit, cursor, status, session_id, with_moved=with_moved
        )

        def work(db: apsw.Connection) -> Page[ExecutionRow]:
            rows: list[Any] = db.execute(_SQL[statement], wanted).fetchall()
            return page("executions", limit, rows, lambda row: kept_execution(row[2:]))

        return await self._commits.read(work)

    async def session(self, session_id: str) -> SessionTotal | None:
        return await self._commits.read(partial(subscription.session, session_id=session_id))

    async def usage(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        source: UsageSource | None = None,
    ) -> Page[UsageRecord]:
        wanted = usage_below(limit, cursor, since, until, source)

        def work(db: apsw.Connection) -> Page[UsageRecord]:
            rows = db.execute(_SQL["usage"], wanted).fetchall()
            return page("usage", limit, rows, lambda row: read_document(UsageRecord, row[2]))

        return await self._commits.read(work)

    async def blocks(self, *, limit: int, cursor: str | None = None) -> Page[BlockTotal]:
        wanted = blocks_below(limit, cursor)

        def work(db: apsw.Connection) -> Page[BlockTotal]:
            return page("blocks", limit, records.blocks(db, wanted), lambda row: row[2])

        return await self._commits.read(work)

    async def limits(self, *, limit: int, cursor: str | None = None) -> Page[RateLimitEvent]:
        wanted = limits_below(limit, cursor)

        def work(db: apsw.Connection) -> Page[RateLimitEvent]:
            rows: list[Any] = db.execute(_SQL["limits"], wanted).fetchall()
            return page("limits", limit, rows, lambda row: read_document(RateLimitEvent, row[2]))

        return await self._commits.read(work)

    async def expire(self, before: datetime) -> int:
        """Retention, in transactions of bounded size; the number of usage records removed."""
        total, more = 0, True
        while more:
            removed, more = await self._commits.write(partial(_expire_some, before=before))
            total += removed
        return total

    def export(self) -> AsyncIterator[LedgerPortion]:
        return exported_ledger(self._found)

    async def load(self, portion: LedgerPortion) -> None:
        await self._commits.write(partial(run_all, _SQL, loading_ledger(portion)))

    async def _found(self, statement: str, wanted: Bindings) -> list[Any]:
        return await self._commits.read(lambda db: db.execute(_SQL[statement], wanted).fetchall())

    async def backup(self, file: Path) -> None:
        await self._commits.read(partial(copy_into, file=file))

    async def close(self) -> None:
        await self._commits.close()
