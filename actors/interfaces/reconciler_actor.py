"""The reconciler's actor, as clients call it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from pool.reconciliation.findings import (
    Reconciliation,
    ReconciliationOrder,
    ReconciliationRange,
    ReportKind,
)
from pool.storage.paging import Page


class ReconcilerActor(Protocol):
    """The reconciler's actor, as a client calls it. See ``actors.reconciler``."""

    async def reconcile(self, wanted: ReconciliationRange) -> ReconciliationOrder:
        """Have a range compared with Anthropic's reports, again where it was; what has not ended,
        once it has. The results appear in ``reconciliations``. ``Conflict`` where no organization
        is configured.
        """
        ...

    async def reconciliations(
        self,
        *,
        limit: int = 50,
        cursor: str | None = None,
        organization_id: str | None = None,
        kind: ReportKind | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Page[Reconciliation]:
        """Those whose hour or day begins in ``since <= start < until``, newest first."""
        ...

    async def reconciliation(self, reconciliation_id: str) -> Reconciliation:
        """One reconciliation. ``NotFound`` for an id that is none."""
        ...

    async def reverse_adjustments(self, reconciliation_id: str) -> Reconciliation:
        """Take back what was adjusted by a reconciliation, and adjust there no more."""
        ...

    async def backup(self, name: str) -> None:
        """Copy its history into the folder of a backup."""
        ...

    async def is_there(self) -> bool:
        """Called every now and then, so that a reconciler that was ended begins again."""
        ...

    async def look(self) -> None:
        """Compare everything that is due."""
        ...
