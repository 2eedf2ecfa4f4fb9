"""Executions in a ledger: begun once, replaced while they are open, ended once."""

from __future__ import annotations

from pool.errors import Conflict, NotFound
from pool.executions.execution import ExecutionRow
from pool.storage.postgresql.connection.statements import Db, first_row, rows, run, statements
from pool.storage.rows import (
    Columns,
    beginning,
    counts_as_ended,
    kept_executions,
    progress,
    request_document,
    settling,
)

_SQL = statements("ledger")


async def begin(db: Db, subscription_id: str, row: ExecutionRow) -> ExecutionRow:
    """Keep a new execution; known already, the row that is kept."""
    columns = {**beginning(row), "subscription_id": subscription_id}
    if await run(db, _SQL["begin_execution"], columns):
        return row
    return await find(db, subscription_id, row.intent.execution_id) or row


async def update(db: Db, subscription_id: str, row: ExecutionRow) -> None:
    """Replace an open execution by a row that is open too."""
    if not await _replaced(db, "update_execution", subscription_id, row, progress(row)):
        raise Conflict(f"execution {row.intent.execution_id} has ended")


async def settle(db: Db, subscription_id: str, row: ExecutionRow) -> bool:
    """Keep the end of a run. False, and nothing written, where its execution had ended already."""
    columns = {**settling(row), "counted": int(counts_as_ended(row))}
    return await _replaced(db, "settle_execution", subscription_id, row, columns)


async def _replaced(
    db: Db, statement: str, subscription_id: str, row: ExecutionRow, columns: Columns
) -> bool:
    """Whether the execution was open; raises ``NotFound`` where there is none."""
    if await run(db, _SQL[statement], {**columns, "subscription_id": subscription_id}):
        return True
    named = {"subscription_id": subscription_id, "id": columns["id"]}
    if await run(db, _SQL["move_request"], {**named, "request": request_document(row)}):
        return await _replaced(db, statement, subscription_id, row, columns)
    if await find(db, subscription_id, columns["id"]) is None:
        raise NotFound("execution", columns["id"])
    return False


async def find(db: Db, subscription_id: str, execution_id: str) -> ExecutionRow | None:
    named = {"subscription_id": subscription_id, "id": execution_id}
    row = await first_row(db, _SQL["execution"], named)
    return None if row is None else next(iter(kept_executions([row])), None)


async def still_open(db: Db, subscription_id: str) -> tuple[ExecutionRow, ...]:
    """Executions that have not ended, oldest first."""
    found = await rows(db, _SQL["open_executions"], {"subscription_id": subscription_id})
    return kept_executions(found)


async def uncertain(db: Db, subscription_id: str) -> int:
    row = await first_row(db, _SQL["uncertain_executions"], {"subscription_id": subscription_id})
    count: int = row[0]
    return count
