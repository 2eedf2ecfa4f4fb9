"""Usage records in a ledger, and the sums that are kept in the transaction that adds one.

The sums are kept by block and model. A record adds to them exactly if its id was new, and nothing
ever lowers them, so the totals of a lifetime are the sums of the blocks.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import apsw

from pool.blocks import block_at
from pool.store.documents import document, instant, micros
from pool.store.protocol import BlockTotal, LifetimeTotal
from pool.store.sqlite.statements import first_row, statements
from pool.usage import ModelUsage, Usage, UsageRecord

_SQL = statements("ledger")


def add(db: apsw.Connection, record: UsageRecord) -> bool:
    """Keep a record and add it to its block. False, and nothing written, where its id is known."""
    row = {
        "id": record.id,
        "timestamp": micros(record.timestamp),
        "cost_nano_usd": record.usage.cost_nano_usd,
        "source": record.source.value,
        "document": document(record),
    }
    db.execute(_SQL["add_record"], row)
    if not db.changes():
        return False
    block = {"starts_at": micros(block_at(record.timestamp).starts_at)}
    db.execute(_SQL["add_to_block"], block)
    for model, usage in record.usage.models.items():
        db.execute(_SQL["add_to_block_model"], {**block, "model": model, **usage.model_dump()})
    return True


def _model_usage(figures: Any) -> ModelUsage:
    """Of the five sums, in the order in which the statements select them."""
    return ModelUsage(
        input_tokens=figures[0],
        output_tokens=figures[1],
        cache_creation_input_tokens=figures[2],
        cache_read_input_tokens=figures[3],
        cost_nano_usd=figures[4],
    )


def lifetime(db: apsw.Connection, executions_ended: int) -> LifetimeTotal:
    models = {row[0]: _model_usage(row[1:]) for row in db.execute(_SQL["lifetime_models"])}
    return LifetimeTotal(
        executions=executions_ended,
        records=first_row(db, _SQL["lifetime_records"])[0],
        usage=Usage(models=models),
    )


def costs_since(db: apsw.Connection, since: datetime) -> tuple[tuple[datetime, int], ...]:
    rows: list[Any] = db.execute(_SQL["costs_since"], {"since": micros(since)}).fetchall()
    # A float of seconds holds the microsecond until the year 2242, and is turned into a datetime in
    # less than half the time that ``instant`` takes: 100k records in 0.1 s.
    return tuple([(datetime.fromtimestamp(at / 1e6, UTC), cost) for at, cost in rows])


def recent_costs(db: apsw.Connection) -> tuple[int, ...]:
    """Oldest first."""
    newest_first = [row[0] for row in db.execute(_SQL["recent_costs"])]
    return tuple(reversed(newest_first))


def blocks(db: apsw.Connection, at: int, limit: int) -> list[tuple[int, str, BlockTotal]]:
    """``(starts_at, "", total)`` of up to ``limit`` blocks before ``at``, newest first."""
    counts: list[Any] = db.execute(_SQL["blocks"], {"at": at, "limit": limit}).fetchall()
    if not counts:
        return []
    models: dict[int, dict[str, ModelUsage]] = defaultdict(dict)
    span = {"first": counts[-1][0], "last": counts[0][0]}
    for starts_at, model, *figures in db.execute(_SQL["block_models"], span):
        models[starts_at][model] = _model_usage(figures)
    return [(start, "", _block_total(start, count, models[start])) for start, count in counts]


def _block_total(starts_at: int, records: int, models: dict[str, ModelUsage]) -> BlockTotal:
    block = block_at(instant(starts_at))
    return BlockTotal(
        block_id=block.id,
        starts_at=block.starts_at,
        ends_at=block.ends_at,
        records=records,
        usage=Usage(models=models),
    )
