"""The comparison of one report of one organization: who is compared, with what, and how.

A report counts as a whole: ``fetched`` has the figures of every bucket that was asked for, or says
why there are none. What cannot be compared is named with the reason, next to what can be.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never

from actors.reconciler.ledgers import Recorded
from pool.admin_api.client import AdminApi
from pool.admin_api.comparison import Thresholds, compared_dollars, compared_people, compared_tokens
from pool.admin_api.organizations import (
    Account,
    Organization,
    costs_of,
    emails_of,
    obstacle,
    people_of,
)
from pool.admin_api.reports import complete
from pool.admin_api.schedule import Span
from pool.reconciliation.findings import (
    Finding,
    Reconciliation,
    ReconciliationState,
    ReportKind,
    Verdict,
)
from pool.reconciliation.problems import ReportProblem
from pool.usage.model_names import by_base_name
from pool.usage.prices import LearnedPrices
from pool.usage.records import ModelUsage

Remote = Mapping[tuple[str, str], ModelUsage]
"""Of one bucket, by email (or nothing) and model."""


class Comparison:
    """One report of one organization: who is compared, and how."""

    def __init__(
        self, organization: Organization, kind: ReportKind, accounts: Mapping[str, Account | None]
    ) -> None:
        self.organization = organization
        self.kind = kind
        self.accounts = tuple(
            account
            for account in present(accounts)
            if obstacle(account, kind, organization) is None
        )
        self._all = accounts
        self._emails = emails_of(organization, present(accounts))

    @property
    def is_possible(self) -> bool:
        """Whether anything of it can be compared."""
        names_people = self.kind is ReportKind.CLAUDE_CODE and bool(self.organization.emails)
        return bool(self.accounts) or names_people

    async def fetched(self, api: AdminApi, span: Span) -> Mapping[datetime, Remote] | ReportProblem:
        """The figures of each bucket. Raises ``Unusable`` for a report that is not complete."""
        starts = [bucket.starts_at for bucket in span.buckets]
        match self.kind:
            case ReportKind.USAGE:
                hours = await api.usage(
                    span.starts_at,
                    span.ends_at,
                    api_key_ids=self.organization.api_key_ids,
                    workspace_ids=self.organization.workspace_ids,
                )
                if isinstance(hours, ReportProblem):
                    return hours
                return {
                    at: _of_nobody(by_base_name(hour.models))
                    for at, hour in complete(starts, hours).items()
                }
            case ReportKind.COST:
                days = await api.costs(span.starts_at, span.ends_at)
                if isinstance(days, ReportProblem):
                    return days
                return {
                    at: _of_nobody(costs_of(self.organization, day))
                    for at, day in complete(starts, days).items()
                }
            case ReportKind.CLAUDE_CODE:
                rows = await api.claude_code(span.starts_at.date())
                if isinstance(rows, ReportProblem):
                    return rows
                return {span.starts_at: people_of(self._emails, rows)}
            case never:
                assert_never(never)

    def findings(
        self,
        recorded: Mapping[str, Recorded],
        remote: Remote,
        rates: LearnedPrices,
        thresholds: Thresholds,
    ) -> tuple[Finding, ...]:
        """A verdict for each model, or for each person and model."""
        local = self._local(recorded)
        ours = {model: usage for (_, model), usage in local.items()}
        theirs = {model: usage for (_, model), usage in remote.items()}
        match self.kind:
            case ReportKind.USAGE:
                return compared_tokens(ours, theirs, rates, thresholds)
            case ReportKind.COST:
                return compared_dollars(ours, theirs, thresholds)
            case ReportKind.CLAUDE_CODE:
                return compared_people(local, remote, thresholds)
            case never:
                assert_never(never)

    def obstacles(self) -> tuple[Finding, ...]:
        """A finding for each subscription that cannot be compared."""
        reasons = {
            subscription_id: "this pool has no such subscription: mend [[organizations]]"
            if account is None
            else obstacle(account, self.kind, self.organization)
            for subscription_id, account in self._all.items()
        }
        return tuple(
            Finding(
                subscription_id=subscription_id, verdict=Verdict.NOT_RECONCILABLE, reason=reason
            )
            for subscription_id, reason in reasons.items()
            if reason is not None
        )

    def ruled_out(
        self, row: Reconciliation, now: datetime, reason: str | None = None
    ) -> Reconciliation:
        """A bucket of which nothing can be compared."""
        why = (Finding(verdict=Verdict.NOT_RECONCILABLE, reason=reason),) if reason else ()
        return row.model_copy(
            update={
                "state": ReconciliationState.NOT_RECONCILABLE,
                "verdict": Verdict.NOT_RECONCILABLE,
                "findings": why or self.obstacles(),
                "problem": None,
                "checked_at": now,
                "next_attempt_at": None,
            }
        )

    def _local(self, recorded: Mapping[str, Recorded]) -> dict[tuple[str, str], ModelUsage]:
        found: dict[tuple[str, str], ModelUsage] = {}
        for account in self.accounts:
            person = (account.email or "").lower() if self.kind is ReportKind.CLAUDE_CODE else ""
            for model, usage in by_base_name(recorded[account.subscription_id].models).items():
                found[person, model] = found.get((person, model), ModelUsage()) + usage
        return found


def present(accounts: Mapping[str, Account | None]) -> tuple[Account, ...]:
    """The accounts of those subscriptions that the pool has."""
    return tuple(account for account in accounts.values() if account is not None)


def _of_nobody(models: Mapping[str, ModelUsage]) -> dict[tuple[str, str], ModelUsage]:
    return {("", model): usage for model, usage in models.items()}
