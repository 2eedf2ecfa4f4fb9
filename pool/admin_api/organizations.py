"""Organizations: how the pool's records and the rows of Anthropic's reports belong together.

An ``[[organizations]]`` of the configuration names subscriptions on one side, and on the other the
API keys, workspaces and persons whose rows are theirs; with neither keys nor workspaces it is the
whole organization. What an account is compared with depends on its kind: API keys are in the usage
and cost reports, members of a team in Claude Code's, and Pro and Max accounts in none.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from pool.admin_api.reports import CostBucket, PersonUsage
from pool.executions.request import SubscriptionId
from pool.reconciliation.findings import OrganizationId, ReportKind
from pool.subscriptions.spec import EnvironmentName
from pool.usage.model_names import base_name
from pool.usage.records import ModelUsage
from pool.values import Value

_API_KEY = "api_key"
_TEAM_KINDS = frozenset({"team", "enterprise"})
_RemoteId = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,100}$")]
_Email = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[!-~]{1,100}$")]


class Organization(Value):
    """One ``[[organizations]]``."""

    id: OrganizationId
    admin_key_env: EnvironmentName
    """The variable that holds a key of its admin; never the key."""
    subscriptions: tuple[SubscriptionId, ...] = Field(min_length=1)
    api_key_ids: tuple[_RemoteId, ...] = ()
    workspace_ids: tuple[_RemoteId, ...] = ()
    emails: tuple[_Email, ...] = ()
    """Persons besides those of its subscriptions, for the Claude Code report."""


def _safe(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        is_loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback):
        raise ValueError("should begin with https://: an admin key goes there")
    return url.rstrip("/")


class ReconciliationSettings(Value):
    """The ``[reconciliation]`` of the configuration."""

    interval_seconds: Annotated[float, Field(ge=60, le=86_400)] = 3600
    """Between two looks at what is due."""
    latency_seconds: Annotated[float, Field(ge=300, le=86_400)] = 900
    """How long after its end an hour or day is compared: Anthropic's data comes late."""
    catch_up_days: Annotated[int, Field(ge=1, le=31)] = 7
    """How far back hours are made up for that fell into a downtime."""
    threshold_usd: Annotated[float, Field(ge=0)] = 1.0
    threshold_percent: Annotated[float, Field(ge=0)] = 1.0
    """A difference is reported where it is larger than both."""
    adjust: bool = False
    """Whether differences are made up for in the ledgers, by records of their own."""
    base_url: Annotated[str, AfterValidator(_safe)] = "https://api.anthropic.com"


class Account(Value):
    """What has to be known of a subscription to compare it."""

    subscription_id: str
    kind: str
    email: str | None = None


def obstacle(account: Account, kind: ReportKind, organization: Organization) -> str | None:
    """Why a account cannot be compared with a report; None where it can be."""
    wants_person = kind is ReportKind.CLAUDE_CODE
    if account.kind == _API_KEY:
        if wants_person:
            return "an API key is no person: its use is in the usage and cost reports"
        if kind is ReportKind.COST and organization.api_key_ids and not organization.workspace_ids:
            return "the cost report knows no API keys: name workspace_ids to compare dollars"
        return None
    if account.kind in _TEAM_KINDS:
        if not wants_person:
            return "a team's use is in the Claude Code report alone, by person and day"
        return (
            None if account.email else "it has no email, by which the Claude Code report names it"
        )
    return f"a {account.kind} account has no Admin API: nothing that Anthropic reports covers it"


def kinds(organization: Organization, accounts: Iterable[Account]) -> tuple[ReportKind, ...]:
    """The reports that are looked at for an organization; the others could say nothing of it."""
    has_people = bool(organization.emails) or any(
        account.kind in _TEAM_KINDS for account in accounts
    )
    return (*(ReportKind.USAGE, ReportKind.COST), *([ReportKind.CLAUDE_CODE] * has_people))


def costs_of(organization: Organization, day: CostBucket) -> dict[str, ModelUsage]:
    """What a day cost this organization, by model."""
    wanted, costs = organization.workspace_ids, dict[str, ModelUsage]()
    for row in day.rows:
        if not wanted or row.workspace_id in wanted:
            cost = ModelUsage(cost_nano_usd=row.cost_nano_usd)
            subject = base_name(row.subject)
            costs[subject] = costs.get(subject, ModelUsage()) + cost
    return costs


def emails_of(organization: Organization, accounts: Iterable[Account]) -> frozenset[str]:
    """The persons whose rows are compared: those of the accounts, and those that are named."""
    members = {
        account.email.lower()
        for account in accounts
        if account.email and account.kind in _TEAM_KINDS
    }
    return frozenset({*organization.emails, *members})


def people_of(
    emails: frozenset[str], rows: Iterable[PersonUsage]
) -> dict[tuple[str, str], ModelUsage]:
    """What these persons used on a day, by email and model."""
    found: dict[tuple[str, str], ModelUsage] = {}
    for row in rows:
        if row.email in emails:
            key = (row.email, base_name(row.model))
            found[key] = found.get(key, ModelUsage()) + row.usage
    return found
