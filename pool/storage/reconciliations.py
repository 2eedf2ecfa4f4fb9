"""The reconciler's store.

It belongs to no subscription and has one owner, like a ledger: opening it raises an epoch and shuts
earlier owners out (``Fenced``). A reconciliation is kept whole under its id, and written again as
it goes on; the last writing counts. Lists are newest bucket first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pool.reconciliation.findings import Reconciliation, ReportKind
from pool.storage.database import Bindings, Database, Db, run_all
from pool.storage.documents import instant, micros, read_document
from pool.storage.paging import LARGEST, Page, check_limit, page, start_of
from pool.storage.reconciler_portion import (
    ReconcilerPortion,
    exported_reconciler,
    loading_reconciler,
    reconciliation_columns,
)

OWNER = "reconciler:"
"""Its name among the owners of stores; no subscription can bear it."""


class Reconciliations:
    """The reconciliations of all organizations, and what their schedule rests on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def epoch(self) -> int:
        return self._database.epoch

    @property
    def is_lost(self) -> bool:
        """Whether this owner can never write again: fenced, or a commit of unknown fate."""
        return self._database.lost.is_set()

    async def begin(self, organization_id: str, now: datetime) -> datetime:
        """When the organization was seen first: now, unless it was before."""
        wanted = {"id": organization_id, "now": micros(now)}

        async def work(db: Db) -> datetime:
            await db.run("begin_organization", wanted)
            return instant((await db.first("organization", wanted))[0])

        return await self._database.write(work)

    async def keep(self, rows: Sequence[Reconciliation]) -> None:
        """Add or replace reconciliations, all of them or none."""
        many = [reconciliation_columns(row) for row in rows]
        await self._database.write(lambda db: db.run_many("keep_reconciliation", many))

    async def find(self, reconciliation_id: str) -> Reconciliation | None:
        found = await self._rows("reconciliation", {"id": reconciliation_id})
        return read_document(Reconciliation, found[0][0]) if found else None

    async def known(
        self, organization_id: str, kind: ReportKind, since: datetime
    ) -> frozenset[str]:
        """The ids of those whose bucket begins at ``since`` or later."""
        wanted = {
            "organization_id": organization_id,
            "kind": kind.value,
            "since": micros(since),
        }
        return frozenset(row[0] for row in await self._rows("known_reconciliations", wanted))

    async def planned(
        self, organization_id: str, kind: ReportKind, now: datetime, limit: int
    ) -> tuple[Reconciliation, ...]:
        """Those whose next attempt is due, oldest bucket first."""
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
        """Those whose bucket begins in ``since <= start < until``."""
        wanted = reconciliations_below(limit, cursor, organization_id, kind, since, until)
        found = await self._rows("reconciliations", wanted)
        return page(
            "reconciliations", limit, found, lambda row: read_document(Reconciliation, row[2])
        )

    async def polled_at(self, key_name: str) -> datetime | None:
        """When a key was used last."""
        found = await self._rows("poll", {"key_name": key_name})
        return instant(found[0][0]) if found else None

    async def note_poll(self, key_name: str, at: datetime) -> None:
        noted = {"key_name": key_name, "at": micros(at)}
        await self._database.write(lambda db: db.run("note_poll", noted))

    async def expire(self, before: datetime) -> int:
        """Forget those whose bucket began before; how many."""
        edge = {"before": micros(before)}
        return await self._database.write(lambda db: db.run("expire_reconciliations", edge))

    def export(self) -> AsyncIterator[ReconcilerPortion]:
        """Everything in it, in portions of bounded size and always in the same order."""
        return exported_reconciler(self._rows)

    async def load(self, portion: ReconcilerPortion) -> None:
        """Keep what another one exported, in one transaction; see ``Ledger.load``."""
        await self._database.write(lambda db: run_all(db, loading_reconciler(portion)))

    async def backup(self, file: Path) -> None:
        """See ``Database.backup``."""
        await self._database.backup(file)

    async def close(self) -> None:
        await self._database.close()

    async def _rows(self, statement: str, wanted: Bindings) -> list[Any]:
        return await self._database.read(lambda db: db.rows(statement, wanted))


def reconciliations_below(
    limit: int,
    cursor: str | None,
    organization_id: str | None,
    kind: ReportKind | None,
    since: datetime | None,
    until: datetime | None,
) -> dict[str, Any]:
    """The bindings of a page."""
    check_limit(limit)
    start = start_of("reconciliations", cursor)
    at, last = start if until is None else min(start, (micros(until), ""))
    return {
        "at": at,
        "id": last,
        "since": -LARGEST if since is None else micros(since),
        "organization_id": organization_id,
        "kind": None if kind is None else kind.value,
        "limit": limit + 1,
    }
