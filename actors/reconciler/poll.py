"""One look at an organization: its reports fetched, compared and kept.

A row is read again before it is written, under one lock with whoever else changes rows; the lock is
never held while a report is waited for, which takes minutes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from actors.reconciler.adjustment import adjusted
from actors.reconciler.comparison import Comparison, Remote, present
from actors.reconciler.ledgers import Ledgers
from pool.admin_api.client import AdminApi
from pool.admin_api.comparison import Thresholds, exceeding, notable, total_difference
from pool.admin_api.organizations import Account, Organization, ReconciliationSettings, kinds
from pool.admin_api.pace import Pace
from pool.admin_api.problems import Unusable
from pool.admin_api.schedule import Span, due, retry_at, spans
from pool.alerts.alerts import AlertKind, happened
from pool.errors import PoolError
from pool.money import nano_usd
from pool.reconciliation.findings import (
    AdjustmentMade,
    Bucket,
    Reconciliation,
    ReconciliationState,
    ReportKind,
    untouched,
)
from pool.reconciliation.problems import ProblemKind, ReportProblem
from pool.storage.reconciliations import Reconciliations
from pool.usage.prices import LearnedPrices
from pool.values import Value

log = logging.getLogger(__name__)

MOST_PLANNED = 1_000
"""Rows of one organization and report that one look takes up."""
ReportsOf = Callable[[Organization, Callable[[], Awaitable[None]]], AdminApi | ReportProblem]
"""Makes the client of an organization, which awaits the second before each poll."""


class ReconcilerSettings(Value):
    """What a reconciler takes from configuration."""

    organizations: tuple[Organization, ...]
    settings: ReconciliationSettings = ReconciliationSettings()
    retention: timedelta = timedelta(days=35)
    backups_dir: Path = Path("backups")


class OrganizationPoll:
    """The comparison of one organization's reports with the ledgers, look after look."""

    def __init__(
        self,
        store: Reconciliations,
        ledgers: Ledgers,
        settings: ReconcilerSettings,
        reports: ReportsOf,
        pace: Pace,
        clock: Callable[[], datetime],
    ) -> None:
        self.changing = asyncio.Lock()
        """Held while a row is read and written again."""
        self._store = store
        self._ledgers = ledgers
        self._rules = settings.settings
        self._retention = settings.retention
        self._reports = reports
        self._pace = pace
        self._clock = clock
        self._thresholds = Thresholds(
            nano_usd=nano_usd(self._rules.threshold_usd), percent=self._rules.threshold_percent
        )

    async def accounts(self, organization: Organization) -> dict[str, Account | None]:
        """An organization's subscriptions; None for one that the pool does not have."""
        return {each: await self._ledgers.account(each) for each in organization.subscriptions}

    async def row(self, bucket: Bucket) -> Reconciliation:
        """A bucket's row, or a new one."""
        return await self._store.find(bucket.id) or untouched(bucket, self._clock())

    async def look_at(self, organization: Organization) -> None:
        """Compare everything of an organization that is due."""
        now = self._clock()
        begun_at = await self._store.begin(organization.id, now)
        accounts = await self.accounts(organization)
        for kind in kinds(organization, present(accounts)):
            found = await self._due(organization, kind, begun_at, now)
            comparison = Comparison(organization, kind, accounts)
            if not comparison.is_possible:
                async with self.changing:
                    rows = [await self.row(bucket) for bucket in found]
                    await self._store.keep([comparison.ruled_out(row, now) for row in rows])
                continue
            for span in spans(found):
                if not await self._compare(comparison, span):
                    break  # what stood in the way of this poll stands in that of the next

    async def _due(
        self, organization: Organization, kind: ReportKind, begun_at: datetime, now: datetime
    ) -> set[Bucket]:
        catch_up = timedelta(days=self._rules.catch_up_days)
        found = due(
            organization.id,
            kind,
            now=now,
            begun_at=begun_at,
            catch_up=catch_up,
            latency=timedelta(seconds=self._rules.latency_seconds),
            known=await self._store.known(organization.id, kind, now - catch_up - kind.length),
        )
        planned = await self._store.planned(organization.id, kind, now, MOST_PLANNED)
        return {*found, *(row.bucket for row in planned)}

    async def _compare(self, comparison: Comparison, span: Span) -> bool:
        """Compare a span's buckets; False, with the reason kept, where its report was not had."""
        try:
            rates = await self._ledgers.rates(comparison.accounts)
            remotes = await self._remotes(comparison, span)
        except PoolError as error:
            remotes = ReportProblem(kind=ProblemKind.LOCAL, detail=str(error))
        if isinstance(remotes, ReportProblem):
            await self._fail(span.buckets, remotes)
            return False
        for bucket in span.buckets:
            async with self.changing:
                row = await self.row(bucket)
                try:
                    row = await self._compared(comparison, row, remotes[bucket.starts_at], rates)
                except PoolError as error:
                    problem = ReportProblem(kind=ProblemKind.LOCAL, detail=str(error))
                    row = _failed(row, problem, self._clock())
                await self._store.keep([row])
        return True

    async def _fail(self, buckets: Sequence[Bucket], problem: ReportProblem) -> None:
        async with self.changing:
            rows = [await self.row(bucket) for bucket in buckets]
            await self._store.keep([_failed(row, problem, self._clock()) for row in rows])
        fields = {"organization_id": buckets[0].organization_id, "problem": problem.detail}
        log.warning("report was not had", extra=fields)

    async def _remotes(
        self, comparison: Comparison, span: Span
    ) -> Mapping[datetime, Remote] | ReportProblem:
        organization = comparison.organization

        async def turn() -> None:
            await self._pace.turn(organization.admin_key_env)

        api = self._reports(organization, turn)
        if isinstance(api, ReportProblem):
            return api
        try:
            return await comparison.fetched(api, span)
        except Unusable as unusable:
            return unusable.problem

    async def _compared(
        self, comparison: Comparison, row: Reconciliation, remote: Remote, rates: LearnedPrices
    ) -> Reconciliation:
        now = self._clock()
        if row.starts_at < now - self._retention:
            return comparison.ruled_out(row, now, "it is older than the records that are kept")
        recorded = {
            account.subscription_id: await self._ledgers.recorded(
                account.subscription_id, row.starts_at, row.ends_at
            )
            for account in comparison.accounts
        }
        compared = comparison.findings(recorded, remote, rates, self._thresholds)
        findings = (*compared, *comparison.obstacles())
        made: tuple[AdjustmentMade, ...] = ()
        if self._rules.adjust and row.reversed_at is None:
            made = await adjusted(
                self._ledgers, comparison, row, recorded, remote, rates, findings, now
            )
        found = row.model_copy(
            update={
                "state": ReconciliationState.COMPARED,
                "verdict": notable(findings),
                "exceeds": exceeding(findings, self._thresholds),
                "difference_usd": total_difference(findings),
                "findings": findings,
                "problem": None,
                "attempts": 0,
                "checked_at": now,
                "next_attempt_at": None,
                "adjustments": (*row.adjustments, *made),
            }
        )
        await self._tell(row, found)
        return found

    async def _tell(self, before: Reconciliation, found: Reconciliation) -> None:
        """Warn of a difference beyond the threshold, once for each amount."""
        was_told = before.exceeds and before.difference_usd == found.difference_usd
        if not found.exceeds or was_told:
            return
        fields = {
            "reconciliation_id": found.id,
            "organization_id": found.organization_id,
            "kind": found.kind.value,
            "verdict": found.verdict.value,
            "difference_usd": None if found.difference_usd is None else float(found.difference_usd),
        }
        log.warning("reconciliation differs", extra=fields)
        alert = happened(
            AlertKind.USAGE_DIFFERS,
            found.organization_id,
            f"the pool's records and {found.organization_id}'s {found.kind.value} report differ",
            key=f"{found.id} {found.difference_usd}",
            now=self._clock(),
            data=fields,
        )
        try:
            await self._ledgers.raise_alert(alert)
        except PoolError as error:
            log.warning("alert not raised", extra={"problem": str(error)})


def _failed(row: Reconciliation, problem: ReportProblem, now: datetime) -> Reconciliation:
    attempts = row.attempts + 1
    return row.model_copy(
        update={
            "state": ReconciliationState.FAILED,
            "problem": problem,
            "attempts": attempts,
            "next_attempt_at": retry_at(attempts, now),
        }
    )
