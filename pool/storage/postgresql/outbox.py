"""The outbox of alerts, shared by all routers. See ``pool.storage.outbox``.

Unique ids and updates on a condition decide between routers. Each call is a transaction of its own,
and done again where the fate of its commit is in doubt, which changes nothing more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

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
from pool.storage.postgresql.connection.statements import (
    Db,
    first_row,
    rows,
    run,
    run_many,
    statements,
)
from pool.storage.postgresql.connection.transactions import Raised, Transactions

Result = TypeVar("Result")
_SQL = statements("outbox")


class PostgresqlOutbox:
    """The alerts of a pool, their levels, and their deliveries."""

    def __init__(self, transactions: Transactions, check_open: Callable[[], None]) -> None:
        self._transactions = transactions
        self._check_open = check_open

    async def _write(self, work: Callable[[Db], Awaitable[Result]]) -> Result:
        self._check_open()
        answer: Any = (await self._transactions.write([work]))[0]
        if isinstance(answer, Raised):
            raise answer.error
        result: Result = answer
        return result

    async def _read(self, work: Callable[[Db], Awaitable[Result]]) -> Result:
        self._check_open()
        return await self._transactions.read(work)

    async def levels(self) -> tuple[AlertState, ...]:
        found = await self._read(lambda db: rows(db, _SQL["levels"], {}))
        return tuple(readable(AlertState, (row[0] for row in found)))

    async def add(
        self, raised: Sequence[Raising], levels: Sequence[AlertState] = ()
    ) -> tuple[Alert, ...]:
        added: dict[str, Alert] = {}  # done again, an alert is there already

        async def work(db: Db) -> tuple[Alert, ...]:
            await run_many(db, _SQL["set_level"], in_order(levels))
            for each in sorted(raised, key=lambda each: each.alert.id):
                if await _add(db, each):
                    added[each.alert.id] = each.alert
            if added:
                await run(db, _SQL["drop_deliveries"], {"most": MOST_ALERTS})
                await run(db, _SQL["drop_alerts"], {"most": MOST_ALERTS})
            return tuple(each.alert for each in raised if each.alert.id in added)

        return await self._write(work)

    async def take(self, webhook: str, now: datetime, until: datetime) -> Taken | None:
        wanted = {"webhook": webhook, "now": micros(now)}

        async def work(db: Db) -> Taken | None:
            row = await first_row(db, _SQL["due"], wanted)
            if row is None:
                return None
            taken = Taken(read_document(Alert, row[0]), read_document(Delivery, row[1]))
            holding = {"alert_id": taken.alert.id, "webhook": webhook, "until": micros(until)}
            await run(db, _SQL["hold"], holding)
            return taken

        return await self._write(work)

    async def next_due(self, webhook: str) -> datetime | None:
        wanted = {"webhook": webhook}
        row = await self._read(lambda db: first_row(db, _SQL["next_due"], wanted))
        return None if row[0] is None else instant(row[0])

    async def note(self, delivery: Delivery) -> None:
        await self._write(lambda db: run(db, _SQL["note"], delivery_columns(delivery)))

    async def alerts(self, *, limit: int = 50, cursor: str | None = None) -> Page[ListedAlert]:
        wanted = alerts_below(limit, cursor)
        found = await self._read(lambda db: rows(db, _SQL["alerts"], wanted))
        return page("alerts", limit, found, listed_alert)

    async def expire(self, before: datetime) -> int:
        edge = {"before": micros(before)}

        async def work(db: Db) -> int:
            await run(db, _SQL["expire_levels"], edge)
            await run(db, _SQL["expire_deliveries"], edge)
            return await run(db, _SQL["expire_alerts"], edge)

        return await self._write(work)


async def _add(db: Db, raising: Raising) -> bool:
    if not await run(db, _SQL["add_alert"], alert_columns(raising.alert)):
        return False
    deliveries = [delivery_columns(each) for each in raising.deliveries]
    await run_many(db, _SQL["add_delivery"], deliveries)
    return True
