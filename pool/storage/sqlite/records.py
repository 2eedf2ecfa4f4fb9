"""Usage records in a ledger, and the sums that are kept in the transaction that adds one.

The sums are kept by block and model. A record adds to them exactly if its id was new, and nothing
ever lowers them, so the totals of a lifetime are the sums of the blocks.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

import apsw

from pool.storage.documents import instant, micros
from pool.storage.paging import Bindings
from pool.storage.rows import block_start, block_total, costs, model_usage, record_columns
from pool.storage.sqlite.statements import first_row, statements
from pool.usage.records import ModelUsage, Usage, UsageRecord
from pool.usage.totals import BlockTotal, LifetimeTotal

_SQL = statements("ledger")


def add(db: apsw.Connection, record: UsageRecord) -> bool:
    """Keep a record and add it to its block. False, and nothing written, where its id is known."""
    db.execute(_SQL["add_record"], record_columns(record))
    if not db.changes():
        return False
    block = {"starts_at": block_start(record)}
    db.execute(_SQL["add_to_block"], block)
    for model, usage in record.usage.models.items():
        db.execute(_SQL["add_to_block_model"], {**block, "model": model, **usage.model_dump()})
    return True


def lifetime(db: apsw.Connection, executions_ended: int) -> LifetimeTotal:
    models = {row[0]: model_usage(row[1:]) for row in db.execute(_SQL["lifetime_models"])}
    return LifetimeTotal(
        executions=executions_ended,
        records=first_row(db, _SQL["lifetime_records"])[0],
        usage=Usage(models=models),
    )


def costs_since(db: apsw.Connection, since: datetime) -> tuple[tuple[datetime, int], ...]:
    rows: list[Any] = db.execute(_SQL["costs_since"], {"since": micros(since)}).fetchall()
    return costs(rows)


def recent_costs(db: apsw.Connection) -> tuple[int, ...]:
    """Oldest first."""
    newest_first = [row[0] for row in db.execute(_SQL["recent_costs"])]
    return tuple(reversed(newest_first))


def first_used_at(db: apsw.Connection) -> datetime | None:
    """The start of the first block in which something was spent."""
    at = first_row(db, _SQL["first_block"])[0]
    return None if at is None else instant(at)


def blocks(db: apsw.Connection, wanted: Bindings) -> list[tuple[int, str, BlockTotal]]:
    """``(starts_at, "", total)`` of up to ``limit`` blocks before ``at``, newest first."""
    counts: list[Any] = db.execute(_SQL["blocks"], wanted).fetchall()
    if not counts:
        return []
    models: dict[int, dict[str, ModelUsage]] = defaultdict(dict)
    span = {"first": counts[-1][0], "last": counts[0][0]}
    for starts_at, model, *figures in db.execute(_SQL["block_models"], span):
        models[starts_at][model] = model_usage(figures)
    return [(start, "", block_total(start, count, models[start])) for start, count in counts]
