"""Executions in a ledger: begun once, replaced while they are open, ended once."""

from __future__ import annotations

import apsw

from pool.errors import Conflict, NotFound
from pool.executions.execution import ExecutionRow
from pool.storage.rows import (
    Columns,
    beginning,
    counts_as_ended,
    kept_executions,
    progress,
    request_document,
    settling,
)
from pool.storage.sqlite.statements import first_row, statements

_SQL = statements("ledger")


def begin(db: apsw.Connection, row: ExecutionRow) -> ExecutionRow:
    """Keep a new execution; known already, the row that is kept."""
    columns = beginning(row)
    db.execute(_SQL["begin_execution"], columns)
    if not db.changes():
        return find(db, row.intent.execution_id) or row
    db.execute(_SQL["keep_request"], columns)
    at = columns["created_at"]
    db.execute(_SQL["note_request"], {"at": at})
    db.execute(_SQL["note_session"], {"session_id": columns["session_id"], "at": at})
    return row


def _replaced(db: apsw.Connection, row: ExecutionRow, columns: Columns) -> bool:
    """Whether the execution was open; raises ``NotFound`` where there is none."""
    db.execute(_SQL["replace_execution"], columns)
    if db.changes():
        return True
    db.execute(_SQL["move_request"], {"id": columns["id"], "request": request_document(row)})
    if db.changes():
        return _replaced(db, row, columns)
    if find(db, columns["id"]) is None:
        raise NotFound("execution", columns["id"])
    return False


def update(db: apsw.Connection, row: ExecutionRow) -> None:
    """Replace an open execution by a row that is open too."""
    if not _replaced(db, row, progress(row)):
        raise Conflict(f"execution {row.intent.execution_id} has ended")


def settle(db: apsw.Connection, row: ExecutionRow) -> bool:
    """Keep the end of a run. False, and nothing written, where its execution had ended already."""
    was_open = _replaced(db, row, settling(row))
    if was_open and counts_as_ended(row):
        db.execute(_SQL["count_ended"])
    return was_open


def find(db: apsw.Connection, execution_id: str) -> ExecutionRow | None:
    row = first_row(db, _SQL["execution"], {"id": execution_id})
    return None if row is None else next(iter(kept_executions([row])), None)


def still_open(db: apsw.Connection) -> tuple[ExecutionRow, ...]:
    """Executions that have not ended, oldest first."""
    return kept_executions(db.execute(_SQL["open_executions"]))


def uncertain(db: apsw.Connection) -> int:
    count: int = first_row(db, _SQL["uncertain_executions"])[0]
    return count
