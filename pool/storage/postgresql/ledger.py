"""The rows of one subscription among those of all. See ``pool.storage.protocol.Ledger``.

What a method does to the rows stands in ``executions``, ``records`` and ``subscription``, and what
must happen together (T2, recovery, retention) stands here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pool.executions.execution import ExecutionRow, ExecutionStatus
from pool.executions.session import SessionTotal
from pool.limits.windows import RateLimitEvent
from pool.storage.documents import instant, micros, read_document
from pool.storage.export import Loading, exported_ledger, loading_ledger
from pool.storage.paging import (
    Bindings,
    Page,
    blocks_below,
    executions_below,
    limits_below,
    page,
    usage_below,
)
from pool.storage.postgresql import executions, records, subscription
from pool.storage.postgresql.connection.commits import Commits
from pool.storage.postgresql.connection.failures import no_backup
from pool.storage.postgresql.connection.statements import (
    Db,
    first_row,
    rows,
    run,
    run_many,
    statements,
)
from pool.storage.protocol import LedgerPortion
from pool.storage.rows import kept_execution
from pool.subscriptions.recovery import Recovery
from pool.subscriptions.settlement import Settlement
from pool.subscriptions.standing import Standing
from pool.usage.records import UsageRecord, UsageSource
from pool.usage.totals import BlockTotal

Result = TypeVar("Result")
_SQL = statements("ledger")
_EXPIRED_AT_ONCE = 1000
"""Rows of a kind that one transaction of retention removes: others get their turn in between."""


async def _settle(db: Db, subscription_id: str, settlement: Settlement) -> bool:
    if not await executions.settle(db, subscription_id, settlement.row):
        return False
    if settlement.record is not None:
        await records.add(db, subscription_id, settlement.record)
    if settlement.session is not None:
        await subscription.use_session(db, subscription_id, settlement.session)
    if settlement.standing is not None:
        await subscription.stand(db, subscription_id, settlement.standing)
    if settlement.limits:
        await subscription.observe(db, subscription_id, settlement.limits)
    return True


async def _recover(db: Db, subscription_id: str, epoch: int, since: datetime) -> Recovery:
    row = await first_row(db, _SQL["seat"], {"subscription_id": subscription_id})
    standing, executions_ended, requested_at, session_id = row
    # Built of what was validated when it was kept: 100k costs need not be looked at again.
    return Recovery.model_construct(
        epoch=epoch,
        costs=await records.costs_since(db, subscription_id, since),
        open=await executions.still_open(db, subscription_id),
        standing=Standing() if standing is None else read_document(Standing, standing),
        windows=await subscription.windows(db, subscription_id),
        totals=await records.lifetime(db, subscription_id, executions_ended),
        recent_costs=await records.recent_costs(db, subscription_id),
        last_session_id=session_id,
        last_request_at=None if requested_at is None else instant(requested_at),
        first_used_at=await records.first_used_at(db, subscription_id),
        uncertain=await executions.uncertain(db, subscription_id),
    )


async def _expire_some(db: Db, subscription_id: str, before: datetime) -> tuple[int, bool]:
    """The number of usage records removed, and whether anything may be left to remove."""
    edge = {
        "subscription_id": subscription_id,
        "before": micros(before),
        "limit": _EXPIRED_AT_ONCE,
    }
    kinds = ("records", "executions", "limit_events", "sessions")
    removed = [await run(db, _SQL[f"expire_{kind}"], edge) for kind in kinds]
    return removed[0], max(removed) == _EXPIRED_AT_ONCE


async def _load(db: Db, subscription_id: str, loading: Loading) -> None:
    mine = {"subscription_id": subscription_id}
    for name, many in loading:
        await run_many(db, _SQL[name], [{**bindings, **mine} for bindings in many])


class PostgresqlLedger:
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

    async def _write(self, work: Callable[..., Awaitable[Result]], *given: Any) -> Result:
        return await self._commits.write(lambda db: work(db, self._subscription_id, *given))

    async def _read(
        self, work: Callable[..., Awaitable[Result]], *given: Any, snapshot: bool = False
    ) -> Result:
        return await self._commits.read(
            lambda db: work(db, self._subscription_id, *given), snapshot=snapshot
        )

    async def _found(self, statement: str, wanted: Bindings) -> list[Any]:
        bindings = {**wanted, "subscription_id": self._subscription_id}
        return await self._commits.read(lambda db: rows(db, _SQL[statement], bindings))

    async def recover(self, since: datetime) -> Recovery:
        return await self._read(_recover, self.epoch, since, snapshot=True)

    async def begin(self, row: ExecutionRow) -> ExecutionRow:
        return await self._write(executions.begin, row)

    async def update(self, row: ExecutionRow) -> None:
        await self._write(executions.update, row)

    async def settle(self, settlement: Settlement) -> bool:
        """T2. Raises ``NotFound`` for an execution that never began."""
        return await self._write(_settle, settlement)

    async def record(self, record: UsageRecord) -> bool:
        return await self._write(records.add, record)

    async def stand(self, standing: Standing) -> None:
        await self._write(subscription.stand, standing)

    async def execution(self, execution_id: str) -> ExecutionRow | None:
        return await self._read(executions.find, execution_id)

    async def executions(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        status: ExecutionStatus | None = None,
        session_id: str | None = None,
        with_moved: bool = False,
    ) -> Page[ExecutionRow]:
        wanted = executions_below(limit, cursor, status, session_id, with_moved=with_moved)
        found = await self._found(*wanted)
        return page("executions", limit, found, lambda row: kept_execution(row[2:]))

    async def session(self, session_id: str) -> SessionTotal | None:
        return await self._read(subscription.session, session_id)

    async def usage(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        source: UsageSource | None = None,
    ) -> Page[UsageRecord]:
        found = await self._found("usage", usage_below(limit, cursor, since, until, source))
        return page("usage", limit, found, lambda row: read_document(UsageRecord, row[2]))

    async def blocks(self, *, limit: int, cursor: str | None = None) -> Page[BlockTotal]:
        wanted = blocks_below(limit, cursor)
        found = await self._read(records.blocks, wanted, snapshot=True)
        return page("blocks", limit, found, lambda row: row[2])

    async def limits(self, *, limit: int, cursor: str | None = None) -> Page[RateLimitEvent]:
        found = await self._found("limits", limits_below(limit, cursor))
        return page("limits", limit, found, lambda row: read_document(RateLimitEvent, row[2]))

    async def expire(self, before: datetime) -> int:
        """Retention, in transactions of bounded size; the number of usage records removed."""
        total, more = 0, True
        while more:
            removed, more = await self._write(_expire_some, before)
            total += removed
        return total

    def export(self) -> AsyncIterator[LedgerPortion]:
        return exported_ledger(self._found)

    async def load(self, portion: LedgerPortion) -> None:
        await self._write(_load, loading_ledger(portion))

    async def backup(self, file: Path) -> None:
        """Left to PostgreSQL: raises ``NotSupported``."""
        raise no_backup(file)

    async def close(self) -> None:
        await self._commits.close()
