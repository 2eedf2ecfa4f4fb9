"""The reconciler's store in the schema of all. See ``pool.storage.reconciliations``.

It has a row of its own in ``owner``, so its writes are fenced as those of a ledger are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pool.reconciliation.findings import Reconciliation, ReportKind
from pool.storage.documents import instant, micros, read_document
from pool.storage.paging import Page, page
from pool.storage.postgresql.connection.commits import Commits
from pool.storage.postgresql.connection.statements import (
    Db,
    first_row,
    rows,
    run,
    run_many,
    statements,
)
from pool.storage.reconciliations import reconciliation_columns, reconciliations_below

_SQL = statements("reconciliations")


class PostgresqlReconciliations:
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

        async def work(db: Db) -> datetime:
            await run(db, _SQL["begin_organization"], wanted)
            return instant((await first_row(db, _SQL["organization"], wanted))[0])

        return await self._commits.write(work)

    async def keep(self, rows: Sequence[Reconciliation]) -> None:
        many = [reconciliation_columns(row) for row in rows]
        await self._commits.write(lambda db: run_many(db, _SQL["keep_reconciliation"], many))

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
        await self._commits.write(lambda db: run(db, _SQL["note_poll"], noted))

    async def expire(self, before: datetime) -> int:
        edge = {"before": micros(before)}
        return await self._commits.write(lambda db: run(db, _SQL["expire_reconciliations"], edge))

    async def close(self) -> None:
        await self._commits.close()

    async def _rows(self, statement: str, wanted: dict[str, Any]) -> list[Any]:
        return await self._commits.read(lambda db: rows(db, _SQL[statement], wanted))
