"""The reconciler: it alone compares what the pool recorded with what Anthropic reports.

What is due follows from the clock and from what is kept (``pool.admin_api.schedule``), so a restart
forgets nothing and repeats nothing, and a downtime is made up for. A report is taken as a whole or
not at all; a failure is kept with the bucket it stood in the way of, and tried again. Polls keep
their distance in ``Pace``. Adjustments rest on what the ledgers say was adjusted before, so that a
crash between the two stores does no harm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from operator import attrgetter

from actors.aiokit import Tasks, every, forwarded
from actors.interfaces.protocols import Actors
from actors.reconciler.adjustment import reversed_
from actors.reconciler.comparison import present
from actors.reconciler.ledgers import Ledgers
from actors.reconciler.poll import OrganizationPoll, ReconcilerSettings, ReportsOf
from pool.admin_api.organizations import Organization, kinds
from pool.admin_api.pace import Pace, Sleep
from pool.admin_api.schedule import buckets, ceiling, floor, ready_at
from pool.errors import InvalidRequest, NotFound, PoolError, StoreError
from pool.reconciliation.findings import (
    Bucket,
    Reconciliation,
    ReconciliationOrder,
    ReconciliationRange,
    ReconciliationState,
    ReportKind,
)
from pool.storage.reconciliations import Reconciliations

log = logging.getLogger(__name__)

MOST_DAYS = 31
"""Of one order."""


class Reconciler:
    """The one reconciler of a pool. Made by ``activate``."""

    def __init__(
        self,
        store: Reconciliations,
        actors: Actors,
        settings: ReconcilerSettings,
        reports: ReportsOf,
        clock: Callable[[], datetime],
        sleep: Sleep,
        leave: Callable[[StoreError], None],
    ) -> None:
        """``reports`` makes the client of an organization; ``leave`` ends this process once the
        store is lost to it.
        """
        self._store = store
        self._ledgers = Ledgers(actors)
        self._settings = settings
        self._rules = settings.settings
        self._clock = clock
        self._leave = leave
        pace = Pace(store, clock, sleep)
        self._poll = OrganizationPoll(store, self._ledgers, settings, reports, pace, clock)
        self._wanted = asyncio.Event()
        self._tasks = Tasks()

    @classmethod
    async def activate(
        cls,
        store: Reconciliations,
        actors: Actors,
        settings: ReconcilerSettings,
        reports: ReportsOf,
        clock: Callable[[], datetime],
        sleep: Sleep,
        leave: Callable[[StoreError], None],
    ) -> Reconciler:
        """Begin to look, at once and after every interval."""
        self = cls(store, actors, settings, reports, clock, sleep, leave)
        self._tasks.spawn(
            every(
                self._rules.interval_seconds,
                self._look,
                "reconciler could not look",
                wake=self._wanted,
            )
        )
        return self

    # -- what callers ask ------------------------------------------------------------------------

    async def reconcile(self, wanted: ReconciliationRange) -> ReconciliationOrder:
        """Returns when it is durable; the comparison goes on in the background."""
        now = self._clock()
        since, until = self._checked(wanted, now)
        organizations = self._named(wanted.organization_id)
        wanted_buckets = [
            bucket
            for organization in organizations
            for kind in kinds(organization, present(await self._poll.accounts(organization)))
            for bucket in buckets(organization.id, kind, floor(since, kind), until)
        ]
        async with self._poll.changing:
            rows = [await self._planned(bucket, now) for bucket in wanted_buckets]
            await self._store.keep(rows)
        self._wanted.set()
        return ReconciliationOrder(
            starts_at=floor(since, ReportKind.COST),
            ends_at=until,
            organizations=tuple(each.id for each in organizations),
            buckets=len(rows),
        )

    async def backup(self, name: str) -> None:
        """Copy its store into the folder of a backup. Called again, the first copy stands."""
        file = self._settings.backups_dir / name / "reconciler.sqlite"
        if not await asyncio.to_thread(file.exists):
            await self._store.backup(file)

    reconciliations = forwarded(attrgetter("_store"), Reconciliations.page)

    async def reconciliation(self, reconciliation_id: str) -> Reconciliation:
        row = await self._store.find(reconciliation_id)
        if row is None:
            raise NotFound("reconciliation", reconciliation_id)
        return row

    async def reverse_adjustments(self, reconciliation_id: str) -> Reconciliation:
        """Taken back by further records."""
        async with self._poll.changing:
            row, now = await self.reconciliation(reconciliation_id), self._clock()
            made = await reversed_(self._ledgers, row, now)
            changed = {
                "adjustments": (*row.adjustments, *made),
                "reversed_at": row.reversed_at or now,
            }
            row = row.model_copy(update=changed)
            await self._store.keep([row])
            return row

    async def is_there(self) -> bool:
        return True

    async def look(self) -> None:
        await self._store.expire(self._clock() - self._settings.retention)
        for organization in self._settings.organizations:
            try:
                await self._poll.look_at(organization)
            except PoolError as error:
                if isinstance(error, StoreError) and self._store.is_lost:
                    raise
                fields = {"organization_id": organization.id, "problem": str(error)}
                log.warning("organization was not looked at", extra=fields)

    async def close(self) -> None:
        await self._tasks.close()
        await self._store.close()

    # -- within ----------------------------------------------------------------------------------

    @property
    def _latency(self) -> timedelta:
        return timedelta(seconds=self._rules.latency_seconds)

    async def _look(self) -> None:
        try:
            await self.look()
        except StoreError as error:
            if self._store.is_lost:
                self._leave(error)
            raise

    async def _planned(self, bucket: Bucket, now: datetime) -> Reconciliation:
        at = max(now, ready_at(bucket, self._latency))
        changed = {"state": ReconciliationState.PENDING, "next_attempt_at": at}
        return (await self._poll.row(bucket)).model_copy(update=changed)

    def _named(self, organization_id: str | None) -> tuple[Organization, ...]:
        found = tuple(
            each for each in self._settings.organizations if organization_id in (None, each.id)
        )
        if not found:
            raise NotFound("organization", str(organization_id))
        return found

    def _checked(self, wanted: ReconciliationRange, now: datetime) -> tuple[datetime, datetime]:
        since = wanted.starts_at
        until = min(wanted.ends_at, ceiling(now, ReportKind.USAGE))
        if since >= until:
            raise InvalidRequest("ends_at", "must lie after starts_at, which must have passed")
        if until - since > timedelta(days=MOST_DAYS):
            raise InvalidRequest("ends_at", f"lies more than {MOST_DAYS} days after starts_at")
        oldest = now - self._settings.retention
        if since < oldest:
            raise InvalidRequest(
                "starts_at", f"lies before the oldest records that are kept ({oldest:%Y-%m-%d})"
            )
        return since, until
