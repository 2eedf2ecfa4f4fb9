"""The reconciler's store in one SQLite file. See ``pool.storage.reconciliations``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import apsw

from pool.reconciliation.findings import Reconciliation, ReportKind
from pool.storage.documents import instant, micros, read_document
from pool.storage.paging import Page, page
from pool.storage.reconciliations import reconciliation_columns, reconciliations_below
from pool.storage.sqlite.commits import Commits
from pool.storage.sqlite.statements import first_row, statements

_SQL = statements("reconciliations")


class SqliteReconciliations:
    """The reconciliations of all organizations, for the owner who opened them."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits

    @property
    def epoch(self) -> int:
        return self._commits.epoch

    @property
    def is_lost(self) -> bool:
        return self._commits.is_lost

    async def begin(self, organization_id: str, now: datetime) -> datetime:
        wanted = {"id": organization_id, "now": micros(now)}

        def work(db: apsw.Connection) -> datetime:
            db.execute(_SQL["begin_organization"], wanted)
            return instant(first_row(db, _SQL["organization"], wanted)[0])

        return await self._commits.write(work)

    async def keep(self, rows: Sequence[Reconciliation]) -> None:
        many = [reconciliation_columns(row) for row in rows]

        def work(db: apsw.Connection) -> None:
            db.executemany(_SQL["keep_reconciliation"], many)

        await self._commits.write(work)

    async def find(self, reconciliation_id: str) -> Reconciliation | None:
        found = await self._rows("reconciliation", {"id": reconciliation_id})
        return read_document(Reconciliation, found[0][0]) if found else None

    async def known(
        self, organization_id: str, kind: ReportKind, since: datetime
    ) -> frozenset[str]:
        wanted = {
            "organization_id": organization_id,
            "kind": kind.value,
            "since": micros(since),
        }
        return frozenset(row[0] for row in await self._rows("known_reconciliations", wanted))

    async def planned(
        self, organization_id: str, kind: ReportKind, now: datetime, limit: int
    ) -> tuple[Reconciliation, ...]:
        wanted = {
            "organization_id": organization_id,
            "kind": kind.value,
            "now": micros(now),
            "limit": limit,
        }
        found = await self._rows("planned_reconciliations", wanted)
        return tuple(read_document(Reconciliation, row[0]) for row in found)

    async def page(
        self,
        *,
        limit: int = 50,
        cursor: str | None = None,
        organization_id: str | None = None,
        kind: ReportKind | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Page[Reconciliation]:
        wanted = reconciliations_below(limit, cursor, organization_id, kind, since, until)
        found = await self._rows("reconciliations", wanted)
        return page(
            "reconciliations", limit, found, lambda row: read_document(Reconciliation, row[2])
        )

    async def polled_at(self, key_name: str) -> datetime | None:
        found = await self._rows("poll", {"key_name": key_name})
        return instant(found[0][0]) if found else None

    async def note_poll(self, key_name: str, at: datetime) -> None:
        noted = {"key_name": key_name, "at": micros(at)}

        def work(db: apsw.Connection) -> None:
            db.execute(_SQL["note_poll"], noted)

        await self._commits.write(work)

    async def expire(self, before: datetime) -> int:
        def work(db: apsw.Connection) -> int:
            db.execute(_SQL["expire_reconciliations"], {"before": micros(before)})
            return db.changes()

        return await self._commits.write(work)

    async def close(self) -> None:
        await self._commits.close()

    async def _rows(self, statement: str, wanted: dict[str, Any]) -> list[Any]:
        return await self._commits.read(lambda db: db.execute(_SQL[statement], wanted).fetchall())
