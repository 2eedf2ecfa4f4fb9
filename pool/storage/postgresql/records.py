"""Usage records in a ledger, and the sums that are kept in the statement that adds one.

A record adds to the sums exactly if its id was new, and nothing ever lowers them, so the totals of
a lifetime are the sums of the blocks.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from pool.storage.documents import instant, micros
from pool.storage.paging import Bindings
from pool.storage.postgresql.connection.statements import Db, first_row, rows, run, statements
from pool.storage.rows import block_start, block_total, costs, model_usage, record_columns
from pool.usage.records import ModelUsage, Usage, UsageRecord
from pool.usage.totals import BlockTotal, LifetimeTotal

_SQL = statements("ledger")


def _figures(usage: Usage) -> dict[str, list[Any]]:
    """The figures of the models, as one array a column."""
    models = usage.models.values()
    return {
        "model": list(usage.models),
        "input_tokens": [each.input_tokens for each in models],
        "output_tokens": [each.output_tokens for each in models],
        "cache_creation_input_tokens": [each.cache_creation_input_tokens for each in models],
        "cache_read_input_tokens": [each.cache_read_input_tokens for each in models],
        "model_cost_nano_usd": [each.cost_nano_usd for each in models],
    }


async def add(db: Db, subscription_id: str, record: UsageRecord) -> bool:
    """Keep a record and add it to its block. False, and nothing written, where its id is known."""
    columns = {
        "subscription_id": subscription_id,
        "starts_at": block_start(record),
        **record_columns(record),
        **_figures(record.usage),
    }
    return await run(db, _SQL["add_record"], columns) > 0


async def lifetime(db: Db, subscription_id: str, executions_ended: int) -> LifetimeTotal:
    mine = {"subscription_id": subscription_id}
    return LifetimeTotal(
        executions=executions_ended,
        records=(await first_row(db, _SQL["lifetime_records"], mine))[0],
        usage=Usage(
            models={
                row[0]: model_usage(row[1:])
                for row in await rows(db, _SQL["lifetime_models"], mine)
            }
        ),
    )


async def costs_since(
    db: Db, subscription_id: str, since: datetime
) -> tuple[tuple[datetime, int], ...]:
    wanted = {"subscription_id": subscription_id, "since": micros(since)}
    return costs(await rows(db, _SQL["costs_since"], wanted))


async def recent_costs(db: Db, subscription_id: str) -> tuple[int, ...]:
    """Oldest first."""
    newest_first = await rows(db, _SQL["recent_costs"], {"subscription_id": subscription_id})
    return tuple(row[0] for row in reversed(newest_first))


async def first_used_at(db: Db, subscription_id: str) -> datetime | None:
    """The start of the first block in which something was spent."""
    at = (await first_row(db, _SQL["first_block"], {"subscription_id": subscription_id}))[0]
    return None if at is None else instant(at)


async def blocks(
    db: Db, subscription_id: str, wanted: Bindings
) -> list[tuple[int, str, BlockTotal]]:
    """``(starts_at, "", total)`` of up to ``limit`` blocks before ``at``, newest first."""
    mine = {"subscription_id": subscription_id}
    counts = await rows(db, _SQL["blocks"], {**wanted, **mine})
    if not counts:
        return []
    models: dict[int, dict[str, ModelUsage]] = defaultdict(dict)
    span = {**mine, "first": counts[-1][0], "last": counts[0][0]}
    for starts_at, model, *figures in await rows(db, _SQL["block_models"], span):
        models[starts_at][model] = model_usage(figures)
    return [(start, "", block_total(start, count, models[start])) for start, count in counts]
