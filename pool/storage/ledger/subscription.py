"""Rows of a ledger about the subscription itself: its standing, sessions and limits."""

from __future__ import annotations

from collections.abc import Sequence

from pool.executions.session import SessionTotal
from pool.limits.windows import RateLimitEvent, Window
from pool.storage.database import Db
from pool.storage.documents import document, read_document
from pool.storage.ledger.rows import changed_windows, limit_columns, session_columns, session_total
from pool.subscriptions.consequences.standing import Standing


async def stand(db: Db, standing: Standing) -> None:
    await db.run("set_standing", {"standing": document(standing)})


async def windows(db: Db) -> dict[str, Window]:
    """Each window as it was seen last."""
    return {name: read_document(Window, text) for name, text in await db.rows("windows")}


async def observe(db: Db, events: Sequence[RateLimitEvent]) -> None:
    """Keep events, and the newest sight of each window in them."""
    await db.run_many("add_limit_event", [limit_columns(event) for event in events])
    changed = changed_windows(await windows(db), events)
    named = [{"name": name, "document": document(changed[name])} for name in changed]
    await db.run_many("set_window", named)


async def use_session(db: Db, session: SessionTotal) -> None:
    columns = session_columns(session)
    await db.run("set_session", columns)
    noted = {"session_id": session.session_id, "at": columns["last_used_at"]}
    await db.run("note_session", noted)


async def session(db: Db, session_id: str) -> SessionTotal | None:
    row = await db.first("session", {"id": session_id})
    return None if row is None else session_total(session_id, *row)
