"""Executions in a ledger: begun once, replaced while they are open, ended once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import apsw

from pool.errors import Conflict, NotFound
from pool.execution import ExecutionRow
from pool.store.documents import document, micros, read_document
from pool.store.sqlite.statements import first_row, statements

_SQL = statements("ledger")


def _columns(row: ExecutionRow) -> dict[str, Any]:
    ended_at = (row.finished_at or row.intent.created_at) if row.status.is_final else None
    return {
        "id": row.intent.execution_id,
        "status": row.status.value,
        "session_id": (row.outcome and row.outcome.session_id) or row.intent.session_id,
        "created_at": micros(row.intent.created_at),
        "ended_at": None if ended_at is None else micros(ended_at),
        "document": document(row),
    }


def begin(db: apsw.Connection, row: ExecutionRow) -> ExecutionRow:
    """Keep a new execution; known already, the row that is kept."""
    if row.status.is_final:
        raise Conflict(f"execution {row.intent.execution_id} cannot begin as {row.status}")
    columns = _columns(row)
    db.execute(_SQL["begin_execution"], columns)
    if not db.changes():
        return find(db, row.intent.execution_id) or row
    at = columns["created_at"]
    db.execute(_SQL["note_request"], {"at": at})
    db.execute(_SQL["note_session"], {"session_id": columns["session_id"], "at": at})
    return row


def _replaced(db: apsw.Connection, row: ExecutionRow) -> bool:
    """Whether the execution was open; raises ``NotFound`` where there is none."""
    db.execute(_SQL["replace_execution"], _columns(row))
    if db.changes():
        return True
    if find(db, row.intent.execution_id) is None:
        raise NotFound("execution", row.intent.execution_id)
    return False


def update(db: apsw.Connection, row: ExecutionRow) -> None:
    """Replace an open execution by a row that is open too."""
    if row.status.is_final:
        raise Conflict(f"execution {row.intent.execution_id} ends by settling, not as an update")
    if not _replaced(db, row):
        raise Conflict(f"execution {row.intent.execution_id} has ended")


def end(db: apsw.Connection, row: ExecutionRow) -> bool:
    """End an execution. False, and nothing written, where it had ended already."""
    if not row.status.is_final:
        raise Conflict(f"execution {row.intent.execution_id} cannot be settled as {row.status}")
    ended = _replaced(db, row)
    if ended:
        db.execute(_SQL["count_ended"])
    return ended


def find(db: apsw.Connection, execution_id: str) -> ExecutionRow | None:
    row = first_row(db, _SQL["execution"], {"id": execution_id})
    return None if row is None else read_document(ExecutionRow, row[0])


def still_open(db: apsw.Connection) -> tuple[ExecutionRow, ...]:
    """Executions that have not ended, oldest first."""
    return tuple(read_document(ExecutionRow, row[0]) for row in db.execute(_SQL["open_executions"]))


def uncertain(db: apsw.Connection) -> int:
    count: int = first_row(db, _SQL["uncertain_executions"])[0]
    return count


def rows(db: apsw.Connection, wanted: Mapping[str, Any]) -> list[Any]:
    """``(created_at, id, document)``, newest first, below ``at`` and ``id`` of ``wanted``."""
    if wanted["session_id"] is not None:
        statement = "executions_by_session"
    elif wanted["status"] is not None:
        statement = "executions_by_status"
    else:
        statement = "executions"
    return db.execute(_SQL[statement], wanted).fetchall()
