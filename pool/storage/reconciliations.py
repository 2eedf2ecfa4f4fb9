"""The protocol of the reconciler's store.

It belongs to no subscription and has one owner, like a ledger: opening it raises an epoch and shuts
earlier owners out (``Fenced``). When a method returns, what it wrote survives kill -9 and power
loss. A reconciliation is kept whole under its id, and written again as it goes on; the last writing
counts. Lists are newest bucket first. Failures are ``StoreError``s.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from pool.reconciliation.findings import Reconciliation, ReportKind
from pool.storage.documents import document, micros
from pool.storage.paging import LARGEST, Bindings, Page, check_limit, start_of

OWNER = "reconciler:"
"""Its name among the owners of stores; no subscription can bear it."""


class Reconciliations(Protocol):
    """The reconciliations of all organizations, and what their schedule rests on."""

    @property
    def epoch(self) -> int: ...

    @property
    def is_lost(self) -> bool:
        """Whether this owner can never write again: fenced, or a commit of unknown fate."""
        ...

    async def begin(self, organization_id: str, now: datetime) -> datetime:
        """When the organization was seen first: now, unless it was before."""
        ...

    async def keep(self, rows: Sequence[Reconciliation]) -> None:
        """Add or replace reconciliations, all of them or none."""
        ...

    async def find(self, reconciliation_id: str) -> Reconciliation | None: ...

    async def known(
        self, organization_id: str, kind: ReportKind, since: datetime
    ) -> frozenset[str]:
        """The ids of those whose bucket begins at ``since`` or later."""
        ...

    async def planned(
        self, organization_id: str, kind: ReportKind, now: datetime, limit: int
    ) -> Sequence[Reconciliation]:
        """Those whose next attempt is due, oldest bucket first."""
        ...

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
        ...

    async def polled_at(self, key_name: str) -> datetime | None:
        """When a key was used last."""
        ...

    async def note_poll(self, key_name: str, at: datetime) -> None: ...

    async def expire(self, before: datetime) -> int:
        """Forget those whose bucket began before; how many."""
        ...

    async def close(self) -> None: ...


def reconciliation_columns(row: Reconciliation) -> Bindings:
    at = row.next_attempt_at
    return {
        "id": row.id,
        "organization_id": row.organization_id,
        "kind": row.kind.value,
        "starts_at": micros(row.starts_at),
        "next_attempt_at": None if at is None else micros(at),
        "document": document(row),
    }


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
