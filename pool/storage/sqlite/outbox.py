"""The outbox of alerts, in the directory's file. See ``pool.storage.outbox``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import apsw

from pool.alerts.alerts import Alert
from pool.alerts.delivery import Delivery, ListedAlert
from pool.alerts.thresholds import AlertState
from pool.storage.documents import instant, micros, read_document, readable
from pool.storage.outbox import (
    MOST_ALERTS,
    Raising,
    Taken,
    alert_columns,
    alerts_below,
    delivery_columns,
    in_order,
    listed_alert,
)
from pool.storage.paging import Page, page
from pool.storage.sqlite.commits import Commits
from pool.storage.sqlite.statements import first_row, statements

_SQL = statements("outbox")


class SqliteOutbox:
    """The alerts of a pool, their levels, and their deliveries."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits

    async def levels(self) -> tuple[AlertState, ...]:
        def work(db: apsw.Connection) -> tuple[AlertState, ...]:
            return tuple(readable(AlertState, (row[0] for row in db.execute(_SQL["levels"]))))

        return await self._commits.read(work)

    async def add(
        self, raised: Sequence[Raising], levels: Sequence[AlertState] = ()
    ) -> tuple[Alert, ...]:
        def work(db: apsw.Connection) -> tuple[Alert, ...]:
            db.executemany(_SQL["set_level"], in_order(levels))
            added = tuple(each.alert for each in raised if _add(db, each))
            if added:
                db.execute(_SQL["drop_deliveries"], {"most": MOST_ALERTS})
                db.execute(_SQL["drop_alerts"], {"most": MOST_ALERTS})
            return added

        return await self._commits.write(work)

    async def take(self, webhook: str, now: datetime, until: datetime) -> Taken | None:
        wanted = {"webhook": webhook, "now": micros(now)}

        def work(db: apsw.Connection) -> Taken | None:
            row = first_row(db, _SQL["due"], wanted)
            if row is None:
                return None
            taken = Taken(read_document(Alert, row[0]), read_document(Delivery, row[1]))
            holding = {"alert_id": taken.alert.id, "webhook": webhook, "until": micros(until)}
            db.execute(_SQL["hold"], holding)
            return taken

        return await self._commits.write(work)

    async def next_due(self, webhook: str) -> datetime | None:
        def work(db: apsw.Connection) -> datetime | None:
            due_at = first_row(db, _SQL["next_due"], {"webhook": webhook})[0]
            return None if due_at is None else instant(due_at)

        return await self._commits.read(work)

    async def note(self, delivery: Delivery) -> None:
        def work(db: apsw.Connection) -> None:
            db.execute(_SQL["note"], delivery_columns(delivery))

        await self._commits.write(work)

    async def alerts(self, *, limit: int = 50, cursor: str | None = None) -> Page[ListedAlert]:
        wanted = alerts_below(limit, cursor)

        def work(db: apsw.Connection) -> Page[ListedAlert]:
            found: list[Any] = db.execute(_SQL["alerts"], wanted).fetchall()
            return page("alerts", limit, found, listed_alert)

        return await self._commits.read(work)

    async def expire(self, before: datetime) -> int:
        edge = {"before": micros(before)}

        def work(db: apsw.Connection) -> int:
            db.execute(_SQL["expire_levels"], edge)
            db.execute(_SQL["expire_deliveries"], edge)
            db.execute(_SQL["expire_alerts"], edge)
            return db.changes()

        return await self._commits.write(work)


def _add(db: apsw.Connection, raising: Raising) -> bool:
    db.execute(_SQL["add_alert"], alert_columns(raising.alert))
    if not db.changes():
        return False
    db.executemany(_SQL["add_delivery"], [delivery_columns(each) for each in raising.deliveries])
    return True
