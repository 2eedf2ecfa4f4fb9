"""A reconciler with its ledgers, beside the stand-in that bills the same runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from actors.reconciler.poll import ReconcilerSettings
from actors.reconciler.reconciler import Reconciler
from api.demo.standin.bill import Bill, Usage
from pool.admin_api.client import AdminApi
from pool.admin_api.organizations import Organization, ReconciliationSettings
from pool.errors import StoreError
from pool.reconciliation.findings import Finding, Reconciliation, ReconciliationRange, ReportKind
from pool.reconciliation.problems import ReportProblem
from pool.storage.sqlite import SqliteStores
from pool.usage.records import UsageSource
from tests.support.admin_api.admin_standin import AdminStandin
from tests.support.admin_api.adminapi import Sleeper, client_of
from tests.support.admin_api.ledgers import LedgerAccount, LedgerPeers
from tests.support.values.examples import NOON
from tests.support.values.manual_clock import ManualClock

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIDNIGHT = NOON.replace(hour=0)
LATENCY = timedelta(minutes=15)
MILLION = Usage(input_tokens=1_000_000, output_tokens=100_000)  # 4.50 USD on Sonnet


@dataclass
class World:
    """One life of a reconciler after another, before the same stand-in and ledgers."""

    folder: Path
    clock: ManualClock
    mind: AdminStandin
    actors: LedgerPeers
    sleeper: Sleeper
    organizations: list[dict[str, Any]]
    settings: dict[str, Any] = field(default_factory=dict)
    reconciler: Reconciler | None = None
    left: list[StoreError] = field(default_factory=list)

    @property
    def bill(self) -> Bill:
        return self.mind.bill

    async def begin(self) -> Reconciler:
        """A new life. It looks when it is told to, not by itself."""
        self.reconciler = Reconciler(
            await SqliteStores(self.folder).open_reconciliations(),
            self.actors,  # type: ignore[arg-type] # as much of it as is asked for
            ReconcilerSettings(
                organizations=tuple(Organization(**each) for each in self.organizations),
                settings=ReconciliationSettings(**self.settings),
            ),
            self.reports,
            self.clock,
            self.sleeper,
            self.left.append,
        )
        return self.reconciler

    def reports(
        self, organization: Organization, turn: Callable[[], Awaitable[None]]
    ) -> AdminApi | ReportProblem:
        return client_of(self.mind, self.sleeper, turn=turn)

    async def end(self) -> None:
        if self.reconciler is not None:
            await self.reconciler.close()
            self.reconciler = None

    async def look(self) -> None:
        assert self.reconciler is not None
        await self.reconciler.look()

    async def rows(self, **wanted: Any) -> tuple[Reconciliation, ...]:
        assert self.reconciler is not None
        found, cursor = [], None
        while True:
            page = await self.reconciler.reconciliations(limit=500, cursor=cursor, **wanted)
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return tuple(found)

    async def row(self, at: datetime, kind: ReportKind = ReportKind.USAGE) -> Reconciliation:
        (found,) = await self.rows(kind=kind, since=at, until=at + timedelta(seconds=1))
        return found

    async def order(self, since: datetime, until: datetime) -> None:
        assert self.reconciler is not None
        await self.reconciler.reconcile(ReconciliationRange(starts_at=since, ends_at=until))


def after(hour: int, world: World) -> None:
    """Let it be long enough after an hour of the day."""
    world.clock.now = MIDNIGHT + (hour + 1) * HOUR + LATENCY


def only(row: Reconciliation) -> Finding:
    (finding,) = row.findings
    return finding


async def of_source(account: LedgerAccount, source: UsageSource) -> list[Any]:
    page = await account.ledger.usage(limit=500)
    return [record for record in page.items if record.source is source]


async def spent(account: LedgerAccount) -> int:
    recovery = await account.ledger.recover(MIDNIGHT - 30 * DAY)
    return sum(cost for _, cost in recovery.costs)
