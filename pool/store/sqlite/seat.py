"""What a ledger knows of the seat itself: its standing, its sessions, Anthropic's limits."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from pool.cooldown import Standing
from pool.store.documents import document, instant, micros, read_document
from pool.store.protocol import SessionTotal
from pool.store.sqlite.statements import first_row, statements
from pool.windows import RateLimitEvent, Window, newest

_SQL = statements("ledger")


def stand(db: apsw.Connection, standing: Standing) -> None:
    db.execute(_SQL["set_standing"], {"standing": document(standing)})


def windows(db: apsw.Connection) -> dict[str, Window]:
    """Each window as it was seen last."""
    return {name: read_document(Window, text) for name, text in db.execute(_SQL["windows"])}


def observe(db: apsw.Connection, events: Sequence[RateLimitEvent]) -> None:
    """Keep events, and of each window that they tell of the newest sight."""
    for event in events:
        row = {"observed_at": micros(event.observed_at), "document": document(event)}
        db.execute(_SQL["add_limit_event"], row)
    known = windows(db)
    for name, window in newest(known, *(event.windows for event in events)).items():
        if window != known.get(name):
            db.execute(_SQL["set_window"], {"name": name, "document": document(window)})


def use_session(db: apsw.Connection, session: SessionTotal) -> None:
    at = micros(session.last_used_at)
    row = {"id": session.session_id, "total_nano_usd": session.total_nano_usd, "last_used_at": at}
    db.execute(_SQL["set_session"], row)
    db.execute(_SQL["note_session"], {"session_id": session.session_id, "at": at})


def session(db: apsw.Connection, session_id: str) -> SessionTotal | None:
    row = first_row(db, _SQL["session"], {"id": session_id})
    if row is None:
        return None
    total, last_used_at = row
    return SessionTotal(
        session_id=session_id, total_nano_usd=total, last_used_at=instant(last_used_at)
    )
