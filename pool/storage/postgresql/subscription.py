"""Rows of a ledger about the subscription itself: its standing, sessions and limits."""

from __future__ import annotations

from collections.abc import Sequence

from pool.executions.session import SessionTotal
from pool.limits.windows import RateLimitEvent, Window
from pool.storage.documents import document, read_document
from pool.storage.postgresql.connection.statements import (
    Db,
    first_row,
    rows,
    run,
    run_many,
    statements,
)
from pool.storage.rows import changed_windows, limit_columns, session_columns, session_total
from pool.subscriptions.standing import Standing

_SQL = statements("ledger")


async def stand(db: Db, subscription_id: str, standing: Standing) -> None:
    columns = {"subscription_id": subscription_id, "standing": document(standing)}
    await run(db, _SQL["set_standing"], columns)


async def windows(db: Db, subscription_id: str) -> dict[str, Window]:
    """Each window as it was seen last."""
    found = await rows(db, _SQL["windows"], {"subscription_id": subscription_id})
    return {name: read_document(Window, text) for name, text in found}


async def observe(db: Db, subscription_id: str, events: Sequence[RateLimitEvent]) -> None:
    """Keep events, and of each window that they tell of the newest sight."""
    mine = {"subscription_id": subscription_id}
    await run_many(
        db, _SQL["add_limit_event"], [{**mine, **limit_columns(event)} for event in events]
    )
    changed = changed_windows(await windows(db, subscription_id), events)
    await set_windows(db, subscription_id, changed)


async def set_windows(db: Db, subscription_id: str, seen: dict[str, Window]) -> None:
    mine = {"subscription_id": subscription_id}
    named = [{**mine, "name": name, "document": document(seen[name])} for name in seen]
    await run_many(db, _SQL["set_window"], named)


async def use_session(db: Db, subscription_id: str, session: SessionTotal) -> None:
    mine = {"subscription_id": subscription_id}
    columns = session_columns(session)
    await run(db, _SQL["set_session"], {**mine, **columns})
    noted = {**mine, "session_id": session.session_id, "at": columns["last_used_at"]}
    await run(db, _SQL["note_session"], noted)


async def session(db: Db, subscription_id: str, session_id: str) -> SessionTotal | None:
    named = {"subscription_id": subscription_id, "id": session_id}
    row = await first_row(db, _SQL["session"], named)
    return None if row is None else session_total(session_id, *row)
