"""Usage records in a ledger, and the sums that are kept in the statement that adds one.

A record adds to them exactly if its id was new. Sums of blocks and their models are never lowered,
so the totals of a lifetime are the sums of the blocks. Those of periods (``periods``) know more of
their records, and go with them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime

from pool.errors import NotFound
from pool.storage.database import Bindings, Db
from pool.storage.documents import instant, micros, read_document
from pool.storage.ledger.periods import added_columns
from pool.storage.ledger.rows import block_start, block_total, costs, model_usage, record_columns
from pool.usage.records import ModelUsage, Retraction, Usage, UsageRecord
from pool.usage.retraction import check_retractable, retracted
from pool.usage.totals import BlockTotal, LifetimeTotal


async def add(db: Db, record: UsageRecord) -> bool:
    """Keep a record and add it to its block and its periods. False, and nothing written, where its
    id is known.
    """
    models = [
        {"model": model, **usage.model_dump()} for model, usage in record.usage.models.items()
    ]
    sums = {
        "starts_at": block_start(record),
        "models": json.dumps(models),
    }
    columns = {**record_columns(record), **sums, **added_columns(record)}
    return await db.run("add_record", columns) > 0


async def retract(db: Db, retraction: Retraction) -> UsageRecord | None:
    """Take a record back; the one that takes it away. None where it was taken back before, and
    ``NotFound`` for an unknown one.
    """
    row = await db.first("record", {"id": retraction.of})
    if row is None:
        raise NotFound("usage record", retraction.of)
    record = read_document(UsageRecord, row[0])
    check_retractable(record)
    if record.retracted is not None:
        return None
    start = block_start(record)
    rows = await db.rows("block_models", {"first": start, "last": start})
    left = {model: model_usage(figures) for _, model, *figures in rows}
    noted, taking = retracted(record, left, retraction)
    await db.run("annotate_record", record_columns(noted))
    await add(db, taking)
    return taking


async def lifetime(db: Db, executions_ended: int) -> LifetimeTotal:
    models = {row[0]: model_usage(row[1:]) for row in await db.rows("lifetime_models")}
    return LifetimeTotal(
        executions=executions_ended,
        records=(await db.first("lifetime_records"))[0],
        usage=Usage(models=models),
    )


async def costs_since(db: Db, since: datetime) -> tuple[tuple[datetime, int], ...]:
    return costs(await db.rows("costs_since", {"since": micros(since)}))


async def recent_costs(db: Db) -> tuple[int, ...]:
    """Oldest first."""
    return tuple(row[0] for row in reversed(await db.rows("recent_costs")))


async def first_used_at(db: Db) -> datetime | None:
    """The start of the first block in which something was spent."""
    at = (await db.first("first_block"))[0]
    return None if at is None else instant(at)


async def blocks(db: Db, wanted: Bindings) -> list[tuple[int, str, BlockTotal]]:
    """``(starts_at, "", total)`` of up to ``limit`` blocks before ``at``, newest first."""
    counts = await db.rows("blocks", wanted)
    if not counts:
        return []
    models: dict[int, dict[str, ModelUsage]] = defaultdict(dict)
    span = {"first": counts[-1][0], "last": counts[0][0]}
    for starts_at, model, *figures in await db.rows("block_models", span):
        models[starts_at][model] = model_usage(figures)
    return [
        (start, "", block_total(start, count, in_periods, models[start]))
        for start, count, in_periods in counts
    ]
