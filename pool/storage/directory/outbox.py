"""The outbox of alerts, which lies in the directory.

An alert, the levels that it came from and its deliveries are kept in one transaction, so that what
was delivered and what is still to be never disagree. Ids are unique: an alert that is raised again,
by another router or after a crash, is kept once. A delivery is taken for a time; whoever took it
and died leaves it to be taken again, so it is made at least once, under the same id.

The newest ``MOST_ALERTS`` are kept, whatever becomes of the older ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from pool.alerts.alerts import Alert
from pool.alerts.delivery import Delivery, ListedAlert
from pool.alerts.thresholds import AlertState
from pool.storage.database import Database, Db
from pool.storage.directory.alert_rows import (
    alert_columns,
    alerts_below,
    delivery_columns,
    in_order,
    listed_alert,
)
from pool.storage.documents import instant, micros, read_document, readable
from pool.storage.paging import Page, page

MOST_ALERTS = 10_000


class Raising(NamedTuple):
    """An alert, and the webhooks that are to get it."""

    alert: Alert
    webhooks: tuple[str, ...] = ()

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        at = self.alert.raised_at
        return tuple(
            Delivery(alert_id=self.alert.id, webhook=name, raised_at=at, due_at=at)
            for name in self.webhooks
        )


class Taken(NamedTuple):
    """A delivery to be made now."""

    alert: Alert
    delivery: Delivery


class Outbox:
    """The alerts of a pool, their levels, and their deliveries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def levels(self) -> tuple[AlertState, ...]:
        found = await self._database.read(lambda db: db.rows("levels"))
        return tuple(readable(AlertState, (row[0] for row in found)))

    async def add(
        self, raised: Sequence[Raising], levels: Sequence[AlertState] = ()
    ) -> tuple[Alert, ...]:
        """Keep alerts and the levels they came from; the alerts that were not there before.

        A level is replaced by one of a higher step, or of the same step and seen later; never back.
        """
        added: dict[str, Alert] = {}  # done again, an alert is there already

        async def work(db: Db) -> tuple[Alert, ...]:
            await db.run_many("set_level", in_order(levels))
            for each in sorted(raised, key=lambda each: each.alert.id):
                if await _add(db, each):
                    added[each.alert.id] = each.alert
            if added:
                await db.run("drop_deliveries", {"most": MOST_ALERTS})
                await db.run("drop_alerts", {"most": MOST_ALERTS})
            return tuple(each.alert for each in raised if each.alert.id in added)

        return await self._database.write(work)

    async def take(self, webhook: str, now: datetime, until: datetime) -> Taken | None:
        """The delivery to this webhook that is due longest, if one is due ``now``.

        It is the caller's ``until`` then; what is not noted by that time is taken again.
        """

        async def work(db: Db) -> Taken | None:
            row = await db.first("due", {"webhook": webhook, "now": micros(now)})
            if row is None:
                return None
            taken = Taken(read_document(Alert, row[0]), read_document(Delivery, row[1]))
            holding = {"alert_id": taken.alert.id, "webhook": webhook, "until": micros(until)}
            await db.run("hold", holding)
            return taken

        return await self._database.write(work)

    async def next_due(self, webhook: str) -> datetime | None:
        """When the next delivery to this webhook is due; None where nothing waits."""
        row = await self._database.read(lambda db: db.first("next_due", {"webhook": webhook}))
        return None if row[0] is None else instant(row[0])

    async def note(self, delivery: Delivery) -> None:
        """Keep what became of a delivery. One that has ended stays as it is."""
        await self._database.write(lambda db: db.run("note", delivery_columns(delivery)))

    async def alerts(self, *, limit: int = 50, cursor: str | None = None) -> Page[ListedAlert]:
        """Newest first."""
        wanted = alerts_below(limit, cursor)
        found = await self._database.read(lambda db: db.rows("alerts", wanted))
        return page("alerts", limit, found, listed_alert)

    async def expire(self, before: datetime) -> int:
        """Forget alerts that were raised before, and levels that came to rest before; the number of
        alerts.
        """
        edge = {"before": micros(before)}

        async def work(db: Db) -> int:
            await db.run("expire_levels", edge)
            await db.run("expire_deliveries", edge)
            return await db.run("expire_alerts", edge)

        return await self._database.write(work)


async def _add(db: Db, raising: Raising) -> bool:
    if not await db.run("add_alert", alert_columns(raising.alert)):
        return False
    await db.run_many("add_delivery", [delivery_columns(each) for each in raising.deliveries])
    return True
