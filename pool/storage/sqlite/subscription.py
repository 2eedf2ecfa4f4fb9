"""Rows of a ledger about the subscription itself: its standing, sessions and limits."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from pool.executions.session import SessionTotal
from pool.limits.windows import RateLimitEvent, Window
from pool.storage.documents import document, read_document
from pool.storage.rows import changed_windows, limit_columns, session_columns, session_total
from pool.storage.sqlite.statements import first_row, statements
from pool.subscriptions.standing import Standing

_SQL = statements("ledger")


def stand(db: apsw.Connection, standing: Standing) -> None:
    db.execute(_SQL["set_standing"], {"standing": document(standing)})


def windows(db: apsw.Connection) -> dict[str, Window]:
    """Each window as it was seen last."""
    return {name: read_document(Window, text) for name, text in db.execute(_SQL["windows"])}


def observe(db: apsw.Connection, events: Sequence[RateLimitEvent]) -> None:
    """Keep events, and of each window that they tell of the newest sight."""
    for event in events:
        db.execute(_SQL["add_limit_event"], limit_columns(event))
    for name, window in changed_windows(windows(db), events).items():
        db.execute(_SQL["set_window"], {"name": name, "document": document(window)})


def use_session(db: apsw.Connection, session: SessionTotal) -> None:
    columns = session_columns(session)
    db.execute(_SQL["set_session"], columns)
    noted = {"session_id": session.session_id, "at": columns["last_used_at"]}
    db.execute(_SQL["note_session"], noted)


def session(db: apsw.Connection, session_id: str) -> SessionTotal | None:
    row = first_row(db, _SQL["session"], {"id": session_id})
    return None if row is None else session_total(session_id, *row)
