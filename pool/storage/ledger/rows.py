"""Values as rows: the columns of a document, by which it is searched, and values of columns.

This is what every engine agrees on, so that a ledger reads the same wherever it is kept: times are
microseconds since 1970 UTC, money is nano-dollars.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from pool.errors import Conflict
from pool.executions.row import ExecutionRow
from pool.executions.session import SessionTotal
from pool.executions.status import ExecutionStatus
from pool.executions.tools.rounds import KeptRound
from pool.limits.windows import RateLimitEvent, Window, newest
from pool.storage.documents import document, instant, micros, parsed, readable_rows
from pool.usage.blocks import block_at
from pool.usage.model_names import plain_name
from pool.usage.records import ModelUsage, Usage, UsageRecord
from pool.usage.totals import BlockTotal
from pool.values import KEPT

Columns = dict[str, Any]


_REQUEST = {"intent": {"request"}}
WITH_CONTENT_AT_ONCE = 20
"""Executions that lose prompt and answer in one transaction."""


def execution_columns(row: ExecutionRow) -> Columns:
    """All of an execution's. The request never changes and may be megabytes, prompt and images: it
    stands apart from the document and is written once.
    """
    return {
        **_changing(row),
        "request": request_document(row),
        "has_content": row.content_removed_at is None,
        "tenant": row.intent.belongs_to,
        "model": plain_name(row.intent.model),
    }


def request_document(row: ExecutionRow) -> str:
    return document(row.intent.request)


def _changing(row: ExecutionRow) -> Columns:
    ended_at = (row.finished_at or row.intent.created_at) if row.status.is_final else None
    return {
        "id": row.intent.execution_id,
        "status": row.status.value,
        "session_id": (row.outcome and row.outcome.session_id) or row.intent.session_id,
        "created_at": micros(row.intent.created_at),
        "ended_at": None if ended_at is None else micros(ended_at),
        "ran_as": plain_name(row.outcome.model) if row.outcome and row.outcome.model else None,
        "document": document(row, without=_REQUEST),
    }


def kept_execution(row: Sequence[str | None]) -> ExecutionRow:
    """The row from its document and request, which earlier releases kept inside the document."""
    kept, request = row
    execution = parsed(kept or "")
    intent = execution.get("intent") if isinstance(execution, dict) else None
    if request is not None and isinstance(intent, dict):
        intent["request"] = parsed(request)
    return ExecutionRow.model_validate(execution, context=KEPT)


def kept_executions(rows: Iterable[Sequence[str | None]]) -> tuple[ExecutionRow, ...]:
    """Those that can be read."""
    return tuple(readable_rows(ExecutionRow, rows, kept_execution))


def beginning(row: ExecutionRow) -> Columns:
    """The columns of an execution that begins; ``Conflict`` for one that has ended."""
    if row.status.is_final:
        raise Conflict(f"execution {row.intent.execution_id} cannot begin as {row.status}")
    return execution_columns(row)


def progress(row: ExecutionRow) -> Columns:
    """The columns of an execution that goes on; ``Conflict`` for one that ends."""
    if row.status.is_final:
        raise Conflict(f"execution {row.intent.execution_id} ends by settling, not as an update")
    return _changing(row)


def settling(row: ExecutionRow) -> Columns:
    """The columns of an execution whose run ends; ``Conflict`` for one that still runs or waits."""
    if not row.status.is_final and row.status is not ExecutionStatus.MOVING:
        raise Conflict(f"execution {row.intent.execution_id} cannot be settled as {row.status}")
    return _changing(row)


def call_columns(row: ExecutionRow, rounds: Iterable[KeptRound]) -> list[Columns]:
    """The calls of an execution's rounds, by which it is found."""
    id_ = row.intent.execution_id
    return [{"id": call.id, "execution_id": id_} for made in rounds for call in made.tool_calls]


def counts_as_ended(row: ExecutionRow) -> bool:
    """Whether an execution ends with this row; one that moves is counted where it ends."""
    return row.status.is_final and row.status is not ExecutionStatus.MOVED


def record_columns(record: UsageRecord) -> Columns:
    return {
        "id": record.id,
        "timestamp": micros(record.timestamp),
        "cost_nano_usd": record.usage.cost_nano_usd,
        "source": record.source.value,
        "tenant": record.belongs_to,
        "document": document(record),
    }


def block_start(record: UsageRecord) -> int:
    """The first microsecond of the block that a record adds to."""
    return micros(block_at(record.timestamp).starts_at)


def limit_columns(event: RateLimitEvent) -> Columns:
    return {"observed_at": micros(event.observed_at), "document": document(event)}


def session_columns(session: SessionTotal) -> Columns:
    return {
        "id": session.session_id,
        "total_nano_usd": session.total_nano_usd,
        "last_used_at": micros(session.last_used_at),
    }


def session_total(session_id: str, total_nano_usd: int | None, last_used_at: int) -> SessionTotal:
    return SessionTotal(
        session_id=session_id,
        total_nano_usd=total_nano_usd,
        last_used_at=instant(last_used_at),
    )


def model_usage(figures: Sequence[int]) -> ModelUsage:
    """A model's usage from its five sums, in the order in which the statements select them."""
    return ModelUsage(
        input_tokens=figures[0],
        output_tokens=figures[1],
        cache_creation_input_tokens=figures[2],
        cache_read_input_tokens=figures[3],
        cost_nano_usd=figures[4],
    )


def block_total(
    starts_at: int, records: int, in_periods: int, models: dict[str, ModelUsage]
) -> BlockTotal:
    block = block_at(instant(starts_at))
    return BlockTotal(
        block_id=block.id,
        starts_at=block.starts_at,
        ends_at=block.ends_at,
        records=records,
        in_periods=in_periods,
        usage=Usage(models=models),
    )


def costs(rows: Iterable[Any]) -> tuple[tuple[datetime, int], ...]:
    """Instants and nano-dollars, of microseconds and nano-dollars."""
    # A float of seconds holds the microsecond until the year 2242, and is turned into a datetime in
    # less than half the time that ``instant`` takes: 100k records in 0.1 s.
    return tuple([(datetime.fromtimestamp(at / 1e6, UTC), cost) for at, cost in rows])


def changed_windows(
    known: dict[str, Window], events: Sequence[RateLimitEvent]
) -> dict[str, Window]:
    """The windows of which ``events`` have something newer than what is known."""
    latest = newest(known, *(event.windows for event in events))
    return {name: window for name, window in latest.items() if window != known.get(name)}
