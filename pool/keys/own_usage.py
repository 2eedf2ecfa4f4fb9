"""A tenant's own usage at one glance: today, this block, the last seven days, and what is left.

Blocks begin at midnight in UTC, so that days are made of whole ones: one breakdown by block and
model has all three.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby

from pool.keys.api_keys import ShownKey
from pool.money import Usd
from pool.usage.blocks import block_at
from pool.usage.breakdown.breakdown import UsageBreakdown, UsageRow
from pool.usage.breakdown.question import Grouping, Question
from pool.usage.records import ModelUsageReport, UsageReport
from pool.usage.spending import WEEK
from pool.values import Instant, Value

_TICK = timedelta(microseconds=1)
UNNAMED = "unknown"
"""The model of what names none."""


class Budgets(Value):
    """The budgets of a key, and what it may still spend of each: without what it has spent, and
    what its running requests hold.
    """

    daily_usd: Usd | None
    daily_left_usd: Usd | None
    """Until midnight in UTC."""
    weekly_usd: Usd | None
    weekly_left_usd: Usd | None
    reserved_usd: Usd
    """Held for what runs or waits."""


def budgets(key: ShownKey | None) -> Budgets | None:
    if key is None or key.used is None or not any(key.budgets_usd):
        return None
    used, (daily, weekly) = key.used, key.budgets_usd
    return Budgets(
        daily_usd=daily,
        daily_left_usd=_left(daily, used.today_usd + used.reserved_usd),
        weekly_usd=weekly,
        weekly_left_usd=_left(weekly, used.week_usd + used.reserved_usd),
        reserved_usd=used.reserved_usd,
    )


def _left(budget: Decimal | None, spent: Decimal) -> Decimal | None:
    return None if budget is None else max(Decimal(0), budget - spent)


class OwnUsage(Value):
    """What a tenant has used by now."""

    at: Instant
    tenant: str | None
    """None for everybody: at a pool without keys, and for its operator."""
    today: UsageReport
    """Since midnight in UTC."""
    block: UsageReport
    """Since the beginning of the 5-hour block."""
    block_ends_at: Instant
    week: UsageReport
    """In the last seven days."""
    is_complete: bool
    """Whether records are still kept for all of that."""
    key: str | None
    """The name of the key that asks."""
    budgets: Budgets | None
    """Of that key; None where it has none."""


def own_question(tenant: str | None, now: datetime) -> Question:
    """What is to be broken down for it."""
    by = (Grouping.BLOCK, Grouping.MODEL)
    return Question(group_by=by, since=now - WEEK, until=now + _TICK, tenant=tenant)


def own_usage(
    found: UsageBreakdown, tenant: str | None, key: ShownKey | None, now: datetime
) -> OwnUsage:
    """The answer to ``own_question``, at one glance."""
    block = block_at(now)
    midnight = block_at(now.replace(hour=0, minute=0, second=0, microsecond=0)).id
    return OwnUsage(
        at=now,
        tenant=tenant,
        today=_sum(row for row in found.items if (row.block or "") >= midnight),
        block=_sum(row for row in found.items if row.block == block.id),
        block_ends_at=block.ends_at,
        week=_sum(found.items),
        is_complete=found.is_complete,
        key=None if key is None else key.name,
        budgets=budgets(key),
    )


def _sum(rows: Iterable[UsageRow]) -> UsageReport:
    rows = sorted(rows, key=_model)
    models = {model: _added(each) for model, each in groupby(rows, _model)}
    return UsageReport(**_added(rows).model_dump(), models=models)


def _model(row: UsageRow) -> str:
    return row.model or UNNAMED


def _added(rows: Iterable[UsageRow]) -> ModelUsageReport:
    rows = tuple(rows)
    return ModelUsageReport(
        cost_usd=sum((row.cost_usd for row in rows), Decimal(0)),
        input_tokens=sum(row.input_tokens for row in rows),
        output_tokens=sum(row.output_tokens for row in rows),
        cache_creation_input_tokens=sum(row.cache_creation_input_tokens for row in rows),
        cache_read_input_tokens=sum(row.cache_read_input_tokens for row in rows),
    )
