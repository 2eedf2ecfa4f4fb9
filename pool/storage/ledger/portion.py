"""Portions: parts of a ledger on their way from one store to another."""

from __future__ import annotations

from pydantic import Field

from pool.executions.row import ExecutionRow
from pool.executions.session import SessionTotal
from pool.limits.windows import RateLimitEvent, Window
from pool.subscriptions.consequences.standing import Standing
from pool.usage.periods import PeriodTotal
from pool.usage.records import UsageRecord
from pool.usage.totals import BlockTotal
from pool.values import Instant, Value


class SubscriptionRows(Value):
    """What a ledger holds once."""

    standing: Standing = Standing()
    executions_ended: int = 0
    last_request_at: Instant | None = None
    last_session_id: str | None = None
    last_session_at: Instant | None = None
    windows: dict[str, Window] = Field(default_factory=dict)


class LedgerPortion(Value):
    """Part of a ledger on its way to another store. Sums are taken along, never computed again:
    they outlive the records that they were made of.
    """

    subscription: SubscriptionRows = SubscriptionRows()
    executions: tuple[ExecutionRow, ...] = ()
    records: tuple[UsageRecord, ...] = ()
    blocks: tuple[BlockTotal, ...] = ()
    periods: tuple[PeriodTotal, ...] = ()
    limits: tuple[RateLimitEvent, ...] = ()
    """In the order in which they were kept."""
    sessions: tuple[SessionTotal, ...] = ()
