"""A ledger in portions, on its way out of one store and into another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from pool.limits.windows import RateLimitEvent, Window
from pool.storage.batches import AT_ONCE, Found, batches
from pool.storage.database import Bindings, Loading
from pool.storage.documents import document, instant, micros, read_document
from pool.storage.ledger.periods import period_total, total_columns
from pool.storage.ledger.portion import LedgerPortion, SubscriptionRows
from pool.storage.ledger.rows import (
    block_total,
    call_columns,
    execution_columns,
    kept_execution,
    limit_columns,
    model_usage,
    record_columns,
    session_columns,
    session_total,
)
from pool.storage.paging import LARGEST
from pool.subscriptions.consequences.standing import Standing
from pool.usage.periods import PeriodTotal
from pool.usage.records import UsageRecord


async def exported_ledger(found: Found) -> AsyncIterator[LedgerPortion]:
    """The portions of a ledger: the subscription, and then kind after kind."""
    yield LedgerPortion(
        subscription=_subscription(await found("export_seat", {}), await found("windows", {}))
    )
    async for rows in batches(found, "export_executions", ""):
        yield LedgerPortion(executions=tuple(kept_execution(row[1:]) for row in rows))
    async for rows in batches(found, "export_records", ""):
        yield LedgerPortion(records=tuple(read_document(UsageRecord, row[1]) for row in rows))
    async for rows in batches(found, "export_blocks", -LARGEST):
        yield await _blocks(found, rows)
    async for totals in _periods(found):
        yield LedgerPortion(periods=totals)
    async for rows in batches(found, "export_limit_events", -1):
        yield LedgerPortion(limits=tuple(read_document(RateLimitEvent, row[1]) for row in rows))
    async for rows in batches(found, "export_sessions", ""):
        yield LedgerPortion(sessions=tuple(session_total(*row) for row in rows))


def _subscription(subscriptions: Sequence[Any], windows: Sequence[Any]) -> SubscriptionRows:
    standing, executions_ended, requested_at, session_id, session_at = subscriptions[0]
    return SubscriptionRows(
        standing=Standing() if standing is None else read_document(Standing, standing),
        executions_ended=executions_ended,
        last_request_at=None if requested_at is None else instant(requested_at),
        last_session_id=session_id,
        last_session_at=None if session_at is None else instant(session_at),
        windows={name: read_document(Window, text) for name, text in sorted(map(tuple, windows))},
    )


async def _blocks(found: Found, rows: list[Any]) -> LedgerPortion:
    span = {"first": rows[0][0], "last": rows[-1][0]}
    models: dict[int, dict[str, Any]] = {row[0]: {} for row in rows}
    for starts_at, model, *figures in await found("block_models", span):
        models[starts_at][model] = model_usage(figures)
    blocks = tuple(
        block_total(start, records, in_periods, models[start])
        for start, records, in_periods in rows
    )
    return LedgerPortion(blocks=blocks)


async def _periods(found: Found) -> AsyncIterator[tuple[PeriodTotal, ...]]:
    """Their key is of three columns."""
    after, more = ("", -LARGEST, ""), True
    while more:
        key = dict(zip(("period", "starts_at", "kind"), after, strict=True))
        rows = await found("export_periods", key | {"limit": AT_ONCE})
        if rows:
            yield tuple(period_total(row) for row in rows)
            after = tuple(rows[-1])[:3]
        more = len(rows) == AT_ONCE


def loading_ledger(portion: LedgerPortion) -> Loading:
    """What keeps a portion of a ledger."""
    subscription = portion.subscription
    windows = [
        {"name": name, "document": document(subscription.windows[name])}
        for name in subscription.windows
    ]
    blocks = [(micros(block.starts_at), block) for block in portion.blocks]
    return [
        (
            "load_seat",
            [] if subscription == SubscriptionRows() else [_subscription_columns(subscription)],
        ),
        ("set_window", windows),
        ("load_execution", [execution_columns(row) for row in portion.executions]),
        (
            "note_tool_call",
            [columns for row in portion.executions for columns in call_columns(row, row.rounds)],
        ),
        ("load_record", [record_columns(record) for record in portion.records]),
        (
            "load_block",
            [
                {"starts_at": at, "records": block.records, "in_periods": block.in_periods}
                for at, block in blocks
            ],
        ),
        (
            "load_block_model",
            [
                {"starts_at": at, "model": model, **usage.model_dump()}
                for at, block in blocks
                for model, usage in block.usage.models.items()
            ],
        ),
        ("load_period", [total_columns(total) for total in portion.periods]),
        ("add_limit_event", [limit_columns(event) for event in portion.limits]),
        ("load_session", [session_columns(session) for session in portion.sessions]),
    ]


def _subscription_columns(subscription: SubscriptionRows) -> Bindings:
    requested_at, session_at = subscription.last_request_at, subscription.last_session_at
    return {
        "standing": document(subscription.standing),
        "executions_ended": subscription.executions_ended,
        "last_request_at": None if requested_at is None else micros(requested_at),
        "last_session_id": subscription.last_session_id,
        "last_session_at": None if session_at is None else micros(session_at),
    }
