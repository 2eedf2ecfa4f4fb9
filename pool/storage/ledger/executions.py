"""Executions in a ledger: begun once, replaced while they are open, ended once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pool.errors import Conflict, NotFound
from pool.executions.row import ExecutionRow
from pool.storage.database import Bindings, Db
from pool.storage.ledger.rows import (
    beginning,
    call_columns,
    counts_as_ended,
    execution_columns,
    kept_executions,
    progress,
    request_document,
    settling,
)
from pool.usage.records import Usage


async def begin(db: Db, row: ExecutionRow) -> ExecutionRow:
    """Keep a new execution; known already, the row that is kept."""
    if await db.run("begin_execution", beginning(row)):
        return row
    return await find(db, row.intent.execution_id) or row


async def update(db: Db, row: ExecutionRow) -> None:
    """Replace an open execution by a row that is open too, which is found by the calls of its
    caller's tools that its last round has made.
    """
    if not await _replaced(db, "update_execution", row, progress(row)):
        raise Conflict(f"execution {row.intent.execution_id} has ended")
    for columns in call_columns(row, row.rounds[-1:]):
        await db.run("note_tool_call", columns)


async def settle(db: Db, row: ExecutionRow) -> bool:
    """Keep the end of a run. False, and nothing written, where its execution had ended already."""
    columns = {**settling(row), "counted": int(counts_as_ended(row))}
    return await _replaced(db, "settle_execution", row, columns)


async def _replaced(db: Db, statement: str, row: ExecutionRow, columns: Bindings) -> bool:
    """Whether the execution was open; raises ``NotFound`` where there is none."""
    if await db.run(statement, columns):
        return True
    if await db.run("move_request", {"id": columns["id"], "request": request_document(row)}):
        return await _replaced(db, statement, row, columns)
    if await find(db, columns["id"]) is None:
        raise NotFound("execution", columns["id"])
    return False


async def correct(db: Db, execution_id: str, usage: Usage) -> None:
    """Add usage to the outcome of an execution that has ended."""
    row = await find(db, execution_id)
    if row is None or row.outcome is None or not row.status.is_final:
        return
    outcome = row.outcome.model_copy(update={"usage": row.outcome.usage + usage})
    await db.run(
        "correct_execution", execution_columns(row.model_copy(update={"outcome": outcome}))
    )


async def find(db: Db, execution_id: str) -> ExecutionRow | None:
    found = await db.rows("execution", {"id": execution_id})
    return next(iter(kept_executions(found)), None)


async def of_call(db: Db, call_id: str, tenant: str | None) -> str | None:
    """The id of the execution that made a call; of a tenant's, where one is named."""
    found = await db.rows("execution_of_call", {"id": call_id, "tenant": tenant})
    return found[0][0] if found else None


async def remove_content(db: Db, ids: Iterable[str], now: datetime) -> None:
    """Remove prompt and answer of these executions, and keep the rest."""
    for id_ in ids:
        row = await find(db, id_)
        if row is None:  # gone by now, or it cannot be read, and so cannot be kept in part
            await db.run("remove_execution", {"id": id_})
        else:
            await db.run("remove_content", execution_columns(row.without_content(now)))


async def still_open(db: Db) -> tuple[ExecutionRow, ...]:
    """Executions that have not ended, oldest first."""
    return kept_executions(await db.rows("open_executions"))
